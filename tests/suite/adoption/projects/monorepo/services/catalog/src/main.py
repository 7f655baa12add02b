from common import serve

serve({"/items": lambda: [{"name": "kettle", "cents": 4900}]})

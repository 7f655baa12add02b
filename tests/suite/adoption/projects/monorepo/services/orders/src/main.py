import os

from common import get, serve

serve({"/total": lambda: sum(item["cents"] for item in get(os.environ["CATALOG"] + "/items"))})

"""``receipt.*``: what runs proved, and whether that can be believed."""

from __future__ import annotations

from pathlib import Path

from invoke import Collection, Context, task

from unstale.invocations.boundary import QuietTask, entry, finish
from unstale.invocations.reports import write_page

__all__ = ["collection"]

_WHICH = "a path, the id of a run, or latest"


@task(
    klass=QuietTask,
    help={
        "receipt": _WHICH,
        "html": "write the run's report to this file, too, as one page",
    },
)
def show(
    _ctx: Context, receipt: str = "latest", html: str | None = None, json: bool = False
) -> None:
    """Print what a receipt says: result, images, revision, schema, tests, steps, signature."""
    with entry("receipt", as_json=json) as project:
        from unstale.render import console, document
        from unstale.render.receipt import shown_document, shown_text

        found, seal = project.receipt_show(receipt)
        if html:
            from unstale.render.report import report

            write_page(project, html, report(*project.run_report(receipt)))
        if json:
            document.write("receipt", shown_document(found, seal))
        else:
            console.print_lines([project.mask(line) for line in shown_text(found, seal)])
        if html and not project.is_dry:
            console.note(f"Written: {html}")


@task(
    klass=QuietTask,
    help={
        "receipt": _WHICH,
        "require-signature": "end with 3 if it is not signed",
        "hmac-key-file": "the shared key that counts, instead of the configured one",
        "allowed-signers": "whose ssh signatures count, instead of the configured file",
    },
)
def verify(
    _ctx: Context,
    receipt: str = "latest",
    require_signature: bool = False,
    hmac_key_file: str | None = None,
    allowed_signers: str | None = None,
    json: bool = False,
) -> None:
    """Check a receipt's signature, and that it is about the files and images that are here."""
    with entry("receipt-verify", as_json=json) as project:
        from unstale.render import console, document
        from unstale.render.receipt import verified_document, verified_text

        found = project.receipt_verify(
            receipt,
            require_signature=require_signature,
            hmac_key_file=Path(hmac_key_file) if hmac_key_file else None,
            allowed_signers=Path(allowed_signers) if allowed_signers else None,
        )
        if json:
            document.write("receipt-verify", verified_document(found))
        else:
            lines = verified_text(found, project.settings.root)
            console.print_lines([project.mask(line) for line in lines])
        finish(found.outcome, "Next: inv test.integration, which leaves a receipt of what is here")


def collection() -> Collection:
    """The namespace."""
    return Collection("receipt", show, verify)

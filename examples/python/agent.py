"""An agent that writes along: whoever writes a line `@agent …` into the text gets an answer below it, word by word.

    python agent.py http://127.0.0.1:8000 examples/codemirror  # beside the page of examples/codemirror

People may go on editing anywhere meanwhile, in the answer too. Put your language model into `answer`.
"""

import argparse
import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator

from cowrite.client import Text, connect

# A question that has no answer yet: a whole line, and below it no quotation.
QUESTION = re.compile(r"^@agent (?P<question>.+)\n(?!> )", re.MULTILINE)


async def answer(question: str) -> AsyncIterator[str]:
    """What a model would say, piece by piece."""
    for word in f"You asked “{question}”, and I am only an example.".split(" "):
        yield f"{word} "
        await asyncio.sleep(0.05)


async def answer_all(text: Text) -> None:
    """Answer one question after the other, as long as there are any."""
    while (found := QUESTION.search(str(text))) is not None:
        place = text.anchor(found.end())  # it moves with what others do
        text.insert(place, "> ")
        end = await text.stream(place, answer(found["question"]))
        text.insert(end, "\n")


async def main() -> None:
    """Stay in the document until somebody presses Ctrl-C."""
    parser = argparse.ArgumentParser(description="Answer questions in a document.")
    parser.add_argument("url", help="where cowrite is served")
    parser.add_argument("document", help="the document's id")
    parser.add_argument("--text", default="text", help="the name of the text in it")
    arguments = parser.parse_args()
    token = os.environ.get("COWRITE_TOKEN")  # of your backend, or of `cowrite token`; the demo needs none
    async with connect(arguments.url, arguments.document, token=token, name="Agent", colour="#7c3aed") as doc:
        text = doc.text(arguments.text)
        changes = doc.changes()
        print("ready", flush=True)
        await answer_all(text)
        async for change in changes:
            if not change.local:
                await answer_all(text)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())

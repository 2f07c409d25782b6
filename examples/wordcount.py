"""How often does each word occur in a text?

The text is the Python language reference that ships with every interpreter, or a file.

``python examples/wordcount.py [FILE] [--top N]`` prints the most frequent words.
``python -m millstream.run examples.wordcount`` prints all of them, as they come; there
``MILLSTREAM_WORDCOUNT_FILE`` names the file, and ``-w 2`` shares the work between two
workers.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from pydoc_data.topics import topics

import millstream.operators as op
from millstream.connectors.files import FileSource
from millstream.connectors.stdio import StdOutSink
from millstream.dataflow import Dataflow
from millstream.errors import MillstreamRuntimeError
from millstream.inputs import FixedPartitionedSource, Source, StatefulSourcePartition
from millstream.operators import KeyedStream
from millstream.run import cli_main
from millstream.testing import TestingSink

WORD = re.compile(r"[^\W\d_]+(?:['\u2019][^\W\d_]+)*")
"""Letters of any alphabet, with apostrophes between them."""

FILE_VARIABLE = "MILLSTREAM_WORDCOUNT_FILE"
BATCH_SIZE = 100


class TopicPartition(StatefulSourcePartition[str, int]):
    """The lines of one topic of the language reference, from some line on."""

    def __init__(self, lines: list[str], position: int) -> None:
        self._lines = lines
        self._position = position

    def next_batch(self) -> list[str]:
        """Take the next lines."""
        batch = self._lines[self._position : self._position + BATCH_SIZE]
        if not batch:
            raise StopIteration
        self._position += len(batch)
        return batch

    def snapshot(self) -> int:
        """The number of lines taken."""
        return self._position


class TopicsSource(FixedPartitionedSource[str, int]):
    """The lines of the Python language reference.

    Each of its topics is a partition, so that workers can share them.
    """

    def list_parts(self) -> list[str]:
        """The names of the topics."""
        return list(topics)

    def build_part(
        self,
        step_id: str,  # noqa: ARG002
        for_part: str,
        resume_state: int | None,
    ) -> TopicPartition:
        """Open a topic."""
        return TopicPartition(topics[for_part].splitlines(), resume_state or 0)


def words_of(line: str) -> list[str]:
    """Split a line into words.

    Args:
        line: Any text.

    Returns:
        Its words in lower case, without numbers and punctuation.

    Examples:
        >>> words_of("Don't panic: 42 is the_answer")
        ["don't", 'panic', 'is', 'the', 'answer']
    """
    return WORD.findall(line.lower())


def text_source(path: str | Path | None) -> Source[str]:
    """Choose the text.

    Args:
        path: A file in UTF-8; None or empty for the language reference.

    Returns:
        A source of its lines.
    """
    return FileSource(path) if path else TopicsSource()


def word_counts(flow: Dataflow, text: Source[str]) -> KeyedStream[int]:
    """Count the words of a text.

    Args:
        flow: The dataflow to add the steps to.
        text: The lines.

    Returns:
        Each word once, with its count, when the text has ended.
    """
    lines = op.input("lines", flow, text)
    words = op.flat_map("words", lines, words_of)
    return op.count_final("count", words, key=str)


def as_line(word_and_count: tuple[str, int]) -> str:
    """Join a word and its count by a space."""
    word, count = word_and_count
    return f"{word} {count}"


def most_frequent(text: Source[str], top: int) -> list[tuple[str, int]]:
    """Run a dataflow that counts the words of a text, and rank them.

    Args:
        text: The lines.
        top: How many words to return.

    Returns:
        Words and counts, the most frequent first; in alphabetical order among equals.
    """
    flow = Dataflow("most_frequent")
    counts: list[tuple[str, int]] = []
    op.output("counts", word_counts(flow, text), TestingSink(counts))
    cli_main(flow)
    return sorted(counts, key=lambda each: (-each[1], each[0]))[:top]


def positive(text: str) -> int:
    """Read a number of at least 1 from the command line."""
    if not text.isdecimal() or int(text) < 1:
        msg = f"`{text}` is not a whole number of at least 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def main() -> None:
    """Print the most frequent words."""
    parser = argparse.ArgumentParser(description="Count the words of a text.")
    parser.add_argument(
        "file",
        nargs="?",
        default=os.environ.get(FILE_VARIABLE),
        metavar="FILE",
        help=f"text in UTF-8 (default: `{FILE_VARIABLE}`, or else the Python "
        "language reference)",
    )
    parser.add_argument(
        "--top",
        type=positive,
        default=20,
        metavar="N",
        help="how many words to print (default: %(default)s)",
    )
    arguments = parser.parse_args()
    try:
        ranked = most_frequent(text_source(arguments.file), arguments.top)
    except MillstreamRuntimeError as error:
        # Of a file that is missing or isn't text, the cause says all there is to say.
        if not isinstance(error.__cause__, (OSError, ValueError)):
            raise
        sys.exit(f"wordcount: {error.__cause__}")
    word_width = max((len(word) for word, _ in ranked), default=0)
    count_width = max((len(str(count)) for _, count in ranked), default=0)
    for word, count in ranked:
        print(f"{word:{word_width}}  {count:{count_width}}")


flow = Dataflow("wordcount")
counts = word_counts(flow, text_source(os.environ.get(FILE_VARIABLE)))
op.output("out", op.map("line", counts, as_line), StdOutSink())

if __name__ == "__main__":
    main()

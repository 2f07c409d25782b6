"""What the user is told of a store that is not there, or not whole."""

NO_STORE = (
    "The recovery directory `{}` has no partitions. Make a store there first, or "
    "correct the path."
)
NO_DIRECTORY = (
    "The recovery directory `{}` does not exist. Make a store there first, or correct "
    "the path."
)
LACKS = (
    "The recovery directory `{}` lacks 1 of its 2 partitions: part-1.sqlite3. Bring "
    "the files back; a store cannot be used in part."
)
MAKES_A_STORE = (
    " `python -m millstream.recovery init DIRECTORY COUNT` makes one in a directory "
    "that is there."
)
"""What is added when it ends a run."""

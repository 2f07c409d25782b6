"""What the user is told of a store that is not there, or not whole."""

MAKES_A_STORE = " `python -m millstream.recovery init DIRECTORY COUNT` makes a store."
NO_STORE = (
    "The recovery directory `{}` has no partitions. Make a store there first, or "
    f"correct the path.{MAKES_A_STORE}"
)
NO_DIRECTORY = (
    "The recovery directory `{}` does not exist. Make a store there first, or correct "
    f"the path.{MAKES_A_STORE}"
)
LACKS = (
    "The recovery directory `{}` lacks 1 of its 2 partitions: part-1.sqlite3. Bring "
    "the files back; a store cannot be used in part."
)

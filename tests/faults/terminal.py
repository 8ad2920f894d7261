"""Runs a command in a terminal of its own, answers the first question that it asks there, and prints all that it says.

python -m tests.faults.terminal ANSWER COMMAND...
"""

import os
import pty
import sys

QUESTION = b"[y/n]"


def main() -> None:
    answer, *command = sys.argv[1:]
    process, terminal = pty.fork()
    if process == 0:
        os.execvp(command[0], command)
    said, answered = b"", False
    while data := _read(terminal):
        said += data
        if QUESTION in said and not answered:
            os.write(terminal, answer.encode() + b"\n")
            answered = True
    sys.stdout.buffer.write(said)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))


def _read(terminal: int) -> bytes:
    """What is said next; nothing when the command has ended."""
    try:
        return os.read(terminal, 2**16)
    except OSError:
        return b""


if __name__ == "__main__":
    main()

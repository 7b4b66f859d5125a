"""``python -m manyframe``: the command line of this environment."""

import os
import sys
import sysconfig


def main() -> None:
    program = os.path.join(sysconfig.get_path("scripts"), "manyframe")
    if not os.path.exists(program):
        sys.exit(f"{program} is not there; the wheel of manyframe installs it")
    # The program takes the place of the interpreter: signals reach it, and its exit code is that of the process.
    os.execv(program, [program, *sys.argv[1:]])


main()

"""`python -m cutaway`: the command line, where its script is not on the path."""

from cutaway.cli import main

raise SystemExit(main())

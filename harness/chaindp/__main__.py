"""``python -m chaindp``: the command line."""

import sys

from chaindp.cli import main

sys.exit(main())

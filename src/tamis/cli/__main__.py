"""``python -m tamis.cli`` is ``tamis``."""

import sys

from tamis.cli import main

sys.exit(main())

"""``python -m spikestream`` is the command line."""

import sys

from spikestream.cli import main

sys.exit(main())

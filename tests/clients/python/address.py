"""Where the server under test listens, as every suite is told."""

import os
import sys
from pathlib import Path

HOST, _, _port = os.environ["TENURE_ADDR"].partition(":")
PORT = int(_port)
URL = f"redis://{HOST}:{PORT}"

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

"""Whether this process is about to end: long work looks here at its boundaries and hands over early."""

import threading

stopping = threading.Event()

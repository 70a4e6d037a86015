"""What this process is, and whether it is about to end: long work looks here and hands over early."""

import threading

stopping = threading.Event()

# Set by whoever starts a worker in this process; empty where no work is carried.
worker_name = ""
# How many tasks that worker does at a time.
worker_slots = 0
# What it takes, if that is not queues of Celery.
worker_queues: tuple[str, ...] = ()

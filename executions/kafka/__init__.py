"""Kafka as the transport of runs: requests leave the outbox for a topic, executors put them into an inbox and carry them.

Only the message goes another way. Claim, fence, lease and watchdog are the same as with Celery.
"""

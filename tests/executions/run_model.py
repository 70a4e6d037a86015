"""What a run promises, said a second time: a small model without a database, which the real one is compared with."""

from dataclasses import dataclass, field

MAX_ATTEMPTS = 2
ENDED = ("completed", "failed", "cancelled")
STATUSES = ("pending", "running", *ENDED)


@dataclass
class Step:
    on_error: str
    retries: int
    status: str = "pending"
    attempts: int = 0

    @property
    def passed(self) -> bool:
        return self.status == "completed" or (self.status == "failed" and self.on_error == "continue")


@dataclass
class Hand:
    """A worker that stands inside a step: what it may still do depends on the fence that it came with."""

    fence: int
    index: int
    tries: int = 1
    sees_cancel: bool = False
    sees_loss: bool = False


@dataclass
class Run:
    """One run. Each method is one event, and changes nothing where the event is refused."""

    steps: list[Step]
    status: str = "pending"
    attempts: int = 0
    fence: int = 0
    expired: bool = False
    cancel_wanted: bool = False
    forgotten: bool = False
    calls: int = 1
    tasks: int = 1
    ends: int = 0
    stale_writes: int = 0
    wishes: int = 0
    outputs: dict[int, int] = field(default_factory=dict)

    # --- what the desk does with it

    def claim(self) -> Hand | None:
        """Return the hand that carries it now, unless it is another's, over, unwanted or worn out."""
        free = self.status == "pending" or (self.status == "running" and self.expired)
        if not free or self.cancel_wanted or self.attempts >= MAX_ATTEMPTS:
            return None
        self.status, self.expired = "running", False
        self.fence += 1
        self.attempts += 1
        return Hand(self.fence, -1)

    def cancel(self) -> bool:
        if self.status in ENDED:
            return False
        if self.status == "pending":
            self._end("cancelled")
        elif self.cancel_wanted:
            return True
        self.cancel_wanted = True
        self.wishes += 1
        return True

    def retry(self) -> bool:
        if self.status not in ("failed", "cancelled"):
            return False
        self._wait()
        self.attempts, self.cancel_wanted = 0, False
        self.tasks += 1
        for step in self.steps:
            if not step.passed:
                step.status = "pending"
        return True

    def watched(self) -> None:
        """The watchdog looks."""
        if self.status == "running" and self.expired:
            self.fence += 1
            if self.cancel_wanted:
                self._end("cancelled")
            elif self.attempts >= MAX_ATTEMPTS:
                for step in self.steps:
                    if step.status == "running":
                        step.status = "failed"
                self._end("failed")
            else:
                self._wait()
        elif self.status == "pending" and self.forgotten and self.calls == 0:
            self.calls, self.forgotten = 1, False

    # --- what a worker does with it

    def renewed(self, hand: Hand) -> None:
        """The keeper of leases looks."""
        if self.stale(hand):
            hand.sees_loss = True
        else:
            self.expired, hand.sees_cancel = False, self.cancel_wanted

    def stale(self, hand: Hand) -> bool:
        return hand.fence != self.fence or self.status != "running"

    def goes_on(self, hand: Hand) -> bool:
        """Take the worker to its next step; False when there is none for it."""
        for index, step in enumerate(self.steps):
            if step.passed:
                continue
            if step.status == "failed":
                self._end("failed")
                return False
            if self.cancel_wanted:
                self._end("cancelled")
                return False
            if hand.sees_loss:
                return False
            hand.index, hand.tries = index, 1
            self._starts(hand)
            return True
        self._end("completed")
        return False

    def succeeds(self, hand: Hand, *, look: bool = False) -> bool:
        """The step ends well; with `look` it first asks whether it may go on. False: the worker is through."""
        if look and hand.sees_loss:
            return False
        if look and hand.sees_cancel:
            return self._writes(hand) and self._end("cancelled")
        if not self._writes(hand):
            return False
        step = self.steps[hand.index]
        step.status = "completed"
        self.outputs[hand.index] = step.attempts
        return self.goes_on(hand)

    def fails(self, hand: Hand, *, for_now: bool = False, look: bool = False) -> bool:
        if look and (hand.sees_loss or hand.sees_cancel):
            return self.succeeds(hand, look=True)
        if not self._writes(hand):
            return False
        step = self.steps[hand.index]
        if not for_now or hand.tries > step.retries:
            step.status = "failed"
            return self.goes_on(hand)
        if hand.sees_cancel:
            return self._end("cancelled")
        hand.tries += 1
        self._starts(hand)
        return True

    def hands_over(self, hand: Hand) -> bool:
        if hand.sees_loss or hand.sees_cancel:
            return self.succeeds(hand, look=True)
        if not self._writes(hand):
            return False
        if self.cancel_wanted:
            return self._end("cancelled")
        self.fence += 1
        self.attempts -= 1
        self.steps[hand.index].status = "pending"
        self._wait()
        return False

    # --- how it changes

    def _starts(self, hand: Hand) -> None:
        step = self.steps[hand.index]
        step.status = "running"
        step.attempts += 1

    def _writes(self, hand: Hand) -> bool:
        if self.stale(hand):
            self.stale_writes += 1
            return False
        return True

    def _wait(self) -> None:
        self.status, self.expired, self.forgotten = "pending", False, False
        self.calls += 1

    def _end(self, status: str) -> bool:
        self.status, self.expired = status, False
        self.ends += 1
        for step in self.steps:
            if status == "cancelled" and step.status in ("pending", "running"):
                step.status = "cancelled"
            elif status == "failed" and step.status == "pending":
                step.status = "skipped"
        return False

"""Counting what holds."""

import traceback


class Report:
    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, holds):
        """`holds` is called; it fails by an exception."""
        try:
            holds()
        except Exception as error:  # noqa: BLE001  (whatever it is, it is a failure of this one)
            self.failed += 1
            print(f"FAILED: {name}: {error}")
            if not isinstance(error, AssertionError):
                traceback.print_exc()
        else:
            self.passed += 1
            print(f"ok: {name}")

    def all(self, checks, *arguments):
        """Checks are functions; what holds stands in their first line of documentation."""
        for one in checks:
            self.check(one.__doc__.strip().splitlines()[0], lambda one=one: one(*arguments))

    def end(self):
        print(f"{self.passed} passed, {self.failed} failed")
        raise SystemExit(1 if self.failed else 0)


def equal(found, wanted):
    assert found == wanted, f"it is {found!r} and not {wanted!r}"

"""Kill anything at any time, and start the same command again: every planned key has exactly one row, the same as undisturbed.

Run again what failed:  CHAOS_SEED=… .venv/bin/python -m pytest tests/faults/test_chaos.py
"""

import os
import random
from pathlib import Path

from tests.command import Command
from tests.faults import chaos, schedule

ROUNDS = 30


def test_a_job_that_is_disturbed_again_and_again_ends_with_the_table_of_an_undisturbed_one(mxspark: Command, tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(10**6))
    print(f"CHAOS_SEED={seed}")
    assert chaos.run(mxspark, tmp_path, schedule.draw(seed, ROUNDS)) == []


def test_the_same_seed_gives_the_same_schedule() -> None:
    assert schedule.draw(7, 100) == schedule.draw(7, 100)
    assert schedule.draw(7, 100) != schedule.draw(8, 100)


def test_every_schedule_has_all_kinds_of_faults_on_both_masters() -> None:
    for seed in range(200):
        rounds = schedule.draw(seed, ROUNDS)
        kinds = {type(each.fault).__name__ for each in rounds}
        assert kinds == {"KillWorker", "KillExecutor", "KillDriver", "RestartS3", "BadNetwork", "Outage", "Refuse"}
        assert {each.master for each in rounds} == {"local", "cluster"}

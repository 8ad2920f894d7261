"""What Spark says of a job that failed, as errors in words: they name the cause and the nodes."""

import re
from collections.abc import Sequence

from mxspark.errors import MxsparkError, one_line, without_secrets
from mxspark.spark.failing_executors import FailedTask, places
from mxspark.worker.outage import GOES_ON
from mxspark.worker.shard import TaskError


def translated(error: BaseException, failing: Sequence[FailedTask] = ()) -> MxsparkError:
    """What a job's exception means; `failing` are the executors that could not work by then."""
    text = str(error.java_exception) if hasattr(error, "java_exception") else str(error)
    if "excludeOnFailure" in text:
        return _all_excluded(text, failing)
    if "SparkContext was shut down" in text:
        return MxsparkError(
            f"Spark ended the application: too many executor failures{_also(failing)}",
            f"`mxspark submit` reports pods that end; see the executors' logs otherwise. {GOES_ON}",
        )
    if failed := re.search(r"failed (\d+) times, most recent failure: ", text):
        return given_up(text[failed.end() :], int(failed[1]), failing)
    found = TaskError.find(text)
    if found is not None:
        return found.error
    reason = re.search(r"^:? ?[\w.$]+(?:Exception|Error): (.+)", text, re.MULTILINE)
    cause = without_secrets(reason[1])[:300] if reason else one_line(error)
    return MxsparkError(f"Spark: {cause}", "Check spark.master and the cluster; --debug shows the details.")


def given_up(text: str, times: int, failing: Sequence[FailedTask] = (), executor: str = "driver") -> MxsparkError:
    """Of a shard that failed so often; `text` is what Spark says of the last time."""
    lost = re.match(r"Lost task \S+ in stage \S+ \(TID \d+\) \((\S+) executor (\w+)\): ", text)
    executor = f"{lost[2]} ({lost[1]})" if lost else executor
    where = "" if executor.startswith("driver") else f", last on executor {executor}"
    found = TaskError.find(text)
    if found is not None:
        return _like(
            found.error, f"{found.error.problem}; a shard failed {times} times, last on {found.node}{_also(failing)}"
        )
    if "Python worker exited unexpectedly" in text:
        return MxsparkError(
            f"a worker's process crashed or was killed, {times} times at one shard{where}{_also(failing)}",
            "Out of memory, perhaps: give it more, or let fewer workers share it (--master 'local[N]'; on a cluster "
            f"spark.executor_memory_overhead). {GOES_ON}",
        )
    said = without_secrets(one_line(Exception(text[lost.end() if lost else 0 :].strip().partition("\n")[0])))[:300]
    return MxsparkError(
        f"a shard failed {times} times{where}{_also(failing)}, last error: {said}", "--debug shows the details."
    )


def _all_excluded(text: str, failing: Sequence[FailedTask]) -> MxsparkError:
    found = TaskError.find(text)
    error = failing[-1].failure.error if failing else found.error if found else None
    problem = "all executors failed too often and are excluded"
    if error is None:
        return MxsparkError(problem, f"Their logs say why, or --debug. {GOES_ON}")
    where = f": {places(failing)}" if failing else f", last on {found.node}" if found else ""
    return _like(error, f"{error.problem}; {problem}{where}")


def _like(error: MxsparkError, problem: str) -> MxsparkError:
    """The error with more words."""
    same = MxsparkError(problem, error.hint)
    same.exit_code = error.exit_code
    return same


def _also(failing: Sequence[FailedTask]) -> str:
    return f" (unusable: {places(failing)}: {failing[-1].failure.error.problem})" if failing else ""

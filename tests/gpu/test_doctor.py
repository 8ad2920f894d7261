"""`mxspark doctor --gpu` with a driver: what it makes of others' words, tests/unit/test_doctor.py; the words,
test_driver.py.
"""

import json

from tests.gpu.conftest import A10, H100, WithDriver


def test_every_card_has_a_line(with_driver: WithDriver) -> None:
    answer = json.loads(with_driver("mxspark", "doctor", "--gpu", "--json", cards=(A10, H100)).ended_with(1).output)

    found = {finding["subject"]: finding for finding in answer["findings"]}
    assert not answer["ok"]
    assert found["Python"]["verdict"] == "ok"
    assert found["GPU driver"]["verdict"] == "ok"
    assert (found["GPU 0"]["verdict"], found["GPU 1"]["verdict"]) == ("ok", "problem")
    assert "NVIDIA A10, compute capability 8.6, 22.0 GiB" in found["GPU 0"]["text"]
    assert "NVIDIA H100 80GB HBM3 (GPU 1) has compute capability 9.0" in found["GPU 1"]["text"]
    assert "docs/gpus.md" in found["GPU 1"]["hint"]

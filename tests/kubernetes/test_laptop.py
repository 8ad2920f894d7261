"""`make kind-run`, as the guide for laptops has it, on the cluster that the same commands made, and what it says can
be done next.
"""

import shlex

import pytest
from tests.image.images import make
from tests.kubernetes.cluster import Cluster, ClusterS3

pytestmark = pytest.mark.alone  # jobs that ask for as many CPUs as a person's leave none for others


@pytest.fixture(scope="module")
def environment(cluster: Cluster, cluster_image: str, s3: ClusterS3) -> dict[str, str]:
    return {"KIND_CLUSTER": cluster.name, "KUBECONFIG": str(cluster.kubectl.kubeconfig), "IMAGE": cluster_image}


@pytest.fixture(scope="module")
def told(environment: dict[str, str]) -> str:
    """What `make kind-run` says."""
    return make("make", "kind-run", **environment)


def test_the_digits_job_runs_and_its_table_is_shown(told: str) -> None:
    assert "1,797 images: 1,797 ok, 0 failed" in told
    assert "Accuracy: 0.9978" in told
    assert "complete" in told
    assert "1,797 of 1,797 images" in told


@pytest.mark.parametrize(
    ("command", "result"), [("test digits", "Phase:"), ("submit kubernetes", "1,797 images: 1,797 ok, 0 failed")]
)
def test_the_commands_that_it_names_work_as_they_stand(
    told: str, environment: dict[str, str], command: str, result: str
) -> None:
    (line,) = [line for line in told.splitlines() if command in line]
    assert result in make(*shlex.split(line), **environment)

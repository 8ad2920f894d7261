"""`make kind-run`, as the guide for laptops has it, on the cluster that the same commands made."""

from tests.image.images import make
from tests.kubernetes.cluster import Cluster, ClusterS3


def test_the_digits_job_runs_and_its_table_is_shown(cluster: Cluster, cluster_image: str, s3: ClusterS3) -> None:
    environment = {"KIND_CLUSTER": cluster.name, "KUBECONFIG": str(cluster.kubectl.kubeconfig), "IMAGE": cluster_image}

    told = make("make", "kind-run", **environment)

    assert "1,797 images: 1,797 ok, 0 failed" in told
    assert "Accuracy: 0.9978" in told
    assert "complete" in told
    assert "1,797 of 1,797 images" in told

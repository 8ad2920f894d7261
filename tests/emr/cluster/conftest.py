"""The image for EMR on a real Kubernetes cluster: EMR's own part there is played by plain spark-submit (runner.py)."""

import pytest
from tests.image.container import Image
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.conftest import missing as missing
from tests.shared import once


@pytest.fixture(scope="session")
def emr_image_on_node(cluster: Cluster, emr_image: Image, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The image's name on the last node, which is enough."""
    return once(tmp_path_factory, "emr-image-on-node", lambda: cluster.load(emr_image, cluster.nodes[-1:]))


@pytest.fixture(autouse=True)
def _keys_for_this_process() -> None:
    """Those of moto are for the tests beside."""

"""A request to EMR on EKS, in the names of AWS's API, and the token by which AWS knows it again."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

Request = dict[str, Any]


def token(request: Mapping[str, Any]) -> str:
    """A request's name for AWS, which starts one job run for each: 64 characters, the most that there may be."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()

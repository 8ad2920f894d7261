"""Answers that boto3 gets from something between here and the server: a proxy, a portal or an ingress that shows a
page for people.
"""

from http.client import responses
from typing import Any

from mxspark.storage.errors import NOT_FOUND, is_no_xml, is_page

SERVICES = {"s3": "S3", "sts": "STS", "sso": "SSO", "sso-oidc": "SSO", "signin": "AWS sign-in"}


class PageError(Exception):
    """A page came instead of an answer of the `service`."""

    def __init__(self, service: str, status: int) -> None:
        super().__init__(f"not a response of {service} (HTTP {status})")
        self.service = service
        self.status = status

    @property
    def words(self) -> str:
        """What the status is called."""
        return responses.get(self.status, "")


def refuse(emitter: Any) -> None:
    """Makes all clients with these events raise PageError; boto3 would take a page for a missing object or for
    success, or fail.
    """
    emitter.register_first("before-parse", _refuse)


def _refuse(response_dict: dict[str, Any], operation_model: Any, **_event: Any) -> None:
    status, body, headers = response_dict["status_code"], response_dict["body"], response_dict["headers"]
    name = operation_model.service_model.service_name
    if not isinstance(body, bytes):  # an object's, which comes piece by piece and may be HTML itself
        is_wrong = "ETag" not in headers and headers.get("Content-Type", "").startswith("text/html")
    else:
        text = body.decode(errors="replace")
        is_wrong = is_page(text) or (name == "s3" and status == NOT_FOUND and is_no_xml(text))
        is_wrong = is_wrong or (name == "sts" and (is_no_xml(text) or not text))  # whose answers are XML always
    if is_wrong:
        raise PageError(SERVICES.get(name, name), status)

"""What the hub, or the way to it, can answer instead of a file: when to ask again, and the sentence for each."""

from __future__ import annotations

from collections.abc import Sequence

from cutaway.errors import CutawayError, DownloadFailed, UnknownModel, did_you_mean
from cutaway.weights.hub_cache import HubName

WAITS = (0.5, 1.0, 2.0, 4.0)  # seconds before each further try; a try that brought bytes starts the list again
LONGEST_WAIT = 30.0  # seconds; a hub that asks for more (Retry-After) is reported instead
_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}


def kind(error: BaseException) -> set[str]:
    """The names of an error's classes: the HTTP library under huggingface_hub has changed its module name twice."""
    return {each.__name__ for each in type(error).__mro__}


def _status(error: BaseException) -> int | None:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def wait_before_retry(error: BaseException, failures: int) -> float | None:
    """Seconds to wait before asking again; None when asking again is of no use."""
    if failures >= len(WAITS):
        return None
    status = _status(error)
    if status is None:
        transient = isinstance(error, ConnectionError) or "TransportError" in kind(error)
        return WAITS[failures] if transient else None
    if status not in _TEMPORARY:
        return None
    asked = _header(error, "Retry-After")
    wait = max(WAITS[failures], float(asked) if asked.isdigit() else 0.0)
    return wait if wait <= LONGEST_WAIT else None


def _header(error: BaseException, name: str) -> str:
    return str(getattr(getattr(error, "response", None), "headers", {}).get(name, ""))


def is_disk_error(error: BaseException) -> bool:
    """Whether this computer, and not the way to the hub, refused: the hub's own errors may be OSErrors too."""
    return isinstance(error, OSError) and not isinstance(error, ConnectionError) and _status(error) is None


def explain(error: BaseException, name: HubName, near: Sequence[str], kept: int = 0) -> CutawayError:
    """The one sentence for what the hub, or the way to it, answered."""
    kinds, status = kind(error), _status(error)
    resume = "; what has arrived is kept and the next try continues there" if kept else ""
    page = f"{host()}/{name.repo}"
    if "GatedRepoError" in kinds or status == 403:
        return DownloadFailed(
            f"{name.repo} is gated: accept its licence on {page}, then set HF_TOKEN to a token of that account "
            "(or run `hf auth login`) and try again"
        )
    if "RevisionNotFoundError" in kinds:
        return UnknownModel(f"{name.repo} has no branch, tag or commit {name.revision}; see {page}/commits/main")
    if "RepositoryNotFoundError" in kinds:
        return UnknownModel(
            f"{host()} knows no model {name.repo} that you may see{did_you_mean(name.repo, near)}; if it is private "
            "or gated, set HF_TOKEN to a token that may read it"
        )
    if status == 401:
        return DownloadFailed(f"{host()} refused the token; set HF_TOKEN to a valid one, or unset it for open models")
    if status == 404:
        return DownloadFailed(f"{host()} listed a file of {name} and then did not have it; try again")
    if status == 429:
        return DownloadFailed(
            f"{host()} says that too many requests came from here (429){resume}; wait some minutes, or set "
            "HF_TOKEN, which raises the limit"
        )
    if status is not None:
        return DownloadFailed(f"{host()} answered {status} for {name}{resume}; try again later")
    if "OfflineModeIsEnabled" in kinds:
        return DownloadFailed(f"{name} is not here and huggingface_hub is set to offline; unset HF_HUB_OFFLINE")
    if kinds & {"TransportError", "ConnectionError", "Timeout"}:
        reason = " ".join(str(error).split()) or type(error).__name__
        return DownloadFailed(
            f"{host()} could not be reached for {name} ({reason}){resume}; connect and try again, or use what "
            "is here already (`cutaway models` lists it) or a local path"
        )
    if isinstance(error, CutawayError):
        return error
    if isinstance(error, (ValueError, LookupError, TypeError, AttributeError)):
        # what was read as a listing is none: a login page, a proxy's message
        return DownloadFailed(
            f"{host()} answered for {name} with something that is not a hub's answer ({error}); log in to the "
            "network if it asks for that, and check HF_ENDPOINT"
        )
    raise error


def host() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT


def timeout() -> float:
    from huggingface_hub import constants

    return float(constants.HF_HUB_DOWNLOAD_TIMEOUT)

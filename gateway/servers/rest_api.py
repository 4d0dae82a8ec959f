"""What is served on the REST port, and which of it without an application's task?"""

from __future__ import annotations

from gateway import __version__
from gateway.messages import Dialect
from gateway.servers.direct import DirectRoutes
from gateway.servers.exchange import Desk
from gateway.servers.heavy import HeavyWork
from gateway.servers.http_call import PredictEndpoint
from gateway.servers.oip_rest import OipRest
from gateway.servers.oip_routes import add_oip_routes
from gateway.servers.rest import RawRoutes, RestApi
from gateway.servers.tfs_rest import TfsRest
from gateway.servers.torchserve_rest import TorchServeRest, torchserve_routes

__all__ = ["rest_api"]


def rest_api(desk: Desk, heavy: HeavyWork, *, has_cors: bool) -> tuple[RestApi, DirectRoutes]:
    """The application, and the shortcut to its predict routes."""
    tfs, oip = TfsRest(desk, heavy), OipRest(desk, heavy)
    torchserve = TorchServeRest(desk, heavy)
    api = RestApi(title="Tandem", version=__version__, docs_url=None, redoc_url=None)
    api.has_cors = has_cors
    api.raw_routes = RawRoutes(
        desk, {"tfs_rest": tfs, "oip_rest": oip, "torchserve_rest": torchserve}
    )
    add_oip_routes(api, desk)
    api.include_router(torchserve_routes(desk.pipeline))
    directly: dict[Dialect, PredictEndpoint] = {"oip_rest": oip}
    if not has_cors:  # else TF Serving's answers have headers more
        directly["tfs_rest"] = tfs
    return api, DirectRoutes(desk, directly)

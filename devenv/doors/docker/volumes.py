"""The volumes and networks of an engine."""

from __future__ import annotations

from collections.abc import Mapping

from devenv.doors.docker.sdk import Part, filtered, guarded
from devenv.doors.docker.values import NetworkFacts


class Volumes(Part):
    """Volumes. Every method raises EngineError."""

    @guarded
    def ensure_volume(self, name: str, labels: Mapping[str, str], *, folder: str | None = None) -> None:
        """Create the volume unless it is there; `folder` of this host is then its content."""
        options = {"type": "none", "o": "bind", "device": folder} if folder else None
        self._api.create_volume(name, driver="local", driver_opts=options, labels=dict(labels))

    @guarded
    def volume(self, name: str) -> tuple[str, Mapping[str, str]] | None:
        """(the host's folder that a volume holds, empty for one of the engine's own; its labels), or None."""
        facts = self._read(f"/volumes/{name}", lambda: self._api.inspect_volume(name))
        if facts is None:
            return None
        return str((facts.get("Options") or {}).get("device", "")), facts.get("Labels") or {}

    @guarded
    def volumes(self, label: str) -> tuple[tuple[str, Mapping[str, str]], ...]:
        """(name, labels) of every volume that carries `label`."""
        filters = {"label": label}
        told = self._read("/volumes", lambda: self._api.volumes(filters=filters), filtered(filters))
        found = told["Volumes"] or ()
        return tuple(sorted((one["Name"], one.get("Labels") or {}) for one in found))

    @guarded
    def remove_volume(self, name: str) -> None:
        """Remove a volume and its data."""
        import docker.errors

        try:
            self._api.remove_volume(name, force=True)
        except docker.errors.NotFound:
            return


class Networks(Part):
    """Networks. Every method raises EngineError."""

    @guarded
    def networks(self, **filters: str) -> tuple[NetworkFacts, ...]:
        """Every network that fits the engine's own filters: `driver`, `label`, `name` (a part of it)."""
        found = self._read("/networks", lambda: self._api.networks(filters=filters), filtered(filters))
        facts = (NetworkFacts(id=one["Id"], name=one["Name"], labels=one.get("Labels") or {}) for one in found)
        return tuple(sorted(facts, key=lambda one: one.name))

    @guarded
    def create_network(self, name: str, labels: Mapping[str, str]) -> str:
        """Make a network with an address range that the engine chooses; returns its id."""
        return str(self._api.create_network(name, driver="bridge", labels=dict(labels))["Id"])

    @guarded
    def reconnect(self, container: str, network: str, *, is_cut_off: bool = False) -> None:
        """Connect a stopped container to the network that now has its former network's name."""
        if not is_cut_off:
            self._api.disconnect_container_from_network(container, network, force=True)
        self._api.connect_container_to_network(container, network)

    @guarded
    def remove_network(self, id_: str) -> bool:
        """Remove a network; False when a running container is connected to it."""
        import docker.errors

        try:
            self._api.remove_network(id_)
        except docker.errors.APIError as error:
            if "active endpoints" not in str(error):
                raise
            return False
        return True

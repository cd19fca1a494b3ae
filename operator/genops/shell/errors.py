"""What can go wrong at the cluster's edge. A fault is raised and the queue backs off; nothing here is for users."""


class ClusterError(Exception):
    """A request that the cluster did not carry out."""


class Unreachable(ClusterError):
    """No answer came, so nobody knows whether the request was carried out."""


class NoConfig(ClusterError):
    """Nothing says where the cluster is, or who we are: the kubeconfig or a context of it is missing or wrong."""


class NotLeading(ClusterError):
    """This process no longer holds the lease, so it must not write."""


class ApiError(ClusterError):
    """The API server said no: `status` is the HTTP code, `reason` its word for it."""

    def __init__(self, status: int, reason: str, message: str, causes: tuple[str, ...] = ()) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status, self.reason, self.message, self.causes = status, reason, message, causes

    @property
    def already_exists(self) -> bool:
        """Say whether a create met an object of that name."""
        return self.status == 409 and self.reason == "AlreadyExists"

    @property
    def conflict(self) -> bool:
        """Say whether another writer came first."""
        return self.status == 409 and self.reason != "AlreadyExists"

    @property
    def not_found(self) -> bool:
        """Say whether the object or its kind does not exist."""
        return self.status == 404

    @property
    def namespace_terminating(self) -> bool:
        """Say whether nothing can be made in the namespace because it is being removed."""
        return self.status == 403 and "NamespaceTerminating" in self.causes

    @property
    def refused(self) -> bool:
        """Say whether the same request would be refused again: it is wrong, or not allowed."""
        return self.status in (400, 403, 422)

"""The file tree of a sandbox, mounts, projected files, and what the node refuses."""

import os

import pytest

from genops.local.agent import images, memory, mounts, payload, refusals
from genops.local.agent.environment import ConfigError
from genops.local.agent.payload import File, MissingKey
from genops.local.agent.rootfs import Point, arguments
from genops.local.agent.volumes import Volume


class Tree:
    """A file tree in memory: folder -> names; links by name."""

    def __init__(self, folders, links=None):
        self.folders, self.links = folders, links or {}

    def names(self, path):
        return self.folders.get(path, [])

    def exists(self, path):
        parent, name = os.path.split(path)
        return path == "/" or name in self.folders.get(parent, [])

    def link(self, path):
        return self.links.get(path)

    def real(self, path):
        for link, target in self.links.items():
            if path == link or path.startswith(f"{link}/"):
                return os.path.normpath(os.path.join(os.path.dirname(link), target) + path[len(link) :])
        return path


HOST = Tree(
    {
        "/": ["bin", "etc", "home", "proc", "root", "run", "usr", "var"],
        "/etc": ["hosts", "ssl", "passwd"],
        "/usr": ["bin", "share"],
        "/var": ["run", "tmp"],
    },
    {"/bin": "usr/bin", "/var/run": "../run"},
)


def tree(*points):
    """Return the operations in order, as (operation, operands)."""
    flat, found = arguments(points, HOST), []
    for part in flat:
        if part.startswith("--"):
            found.append([part])
        else:
            found[-1].append(part)
    return [tuple(operation) for operation in found]


def test_the_hosts_root_is_shown_entry_by_entry_and_closed():
    found = tree()
    assert found[0] == ("--tmpfs", "/")
    assert ("--ro-bind", "/usr", "/usr") in found
    assert ("--symlink", "usr/bin", "/bin") in found
    assert found[-1] == ("--remount-ro", "/")
    assert not [f for f in found if f[0] == "--bind"]


def test_homes_and_run_are_hidden_and_cannot_be_written():
    found = tree()
    for path in ("/root", "/home", "/run"):
        assert ("--tmpfs", path) in found
        assert ("--remount-ro", path) in found


def test_what_is_needed_in_a_hidden_folder_is_shown_after_it_is_hidden():
    found = tree(Point("/root/venv", source="/root/venv"))
    assert found.index(("--tmpfs", "/root")) < found.index(("--ro-bind", "/root/venv", "/root/venv"))


def test_a_mount_on_something_that_exists_needs_no_opening():
    found = tree(Point("/etc/hosts", source="/pod/hosts"))
    assert found.index(("--ro-bind", "/etc", "/etc")) < found.index(("--ro-bind", "/pod/hosts", "/etc/hosts"))


def test_a_mount_on_nothing_opens_the_folder_it_lies_in():
    found = tree(Point("/etc/genops/a", source="/pod/a"))
    assert ("--ro-bind", "/etc", "/etc") not in found
    assert ("--ro-bind", "/etc/ssl", "/etc/ssl") in found
    assert ("--ro-bind", "/pod/a", "/etc/genops/a") in found


def test_a_mount_through_a_link_lands_where_the_link_leads():
    assert ("--ro-bind", "/pod/token", "/run/secrets/token") in tree(
        Point("/var/run/secrets/token", source="/pod/token")
    )


def test_inner_mounts_come_after_outer_ones():
    found = tree(Point("/data/in", source="/b", read_only=False), Point("/data", source="/a"))
    assert found.index(("--ro-bind", "/a", "/data")) < found.index(("--bind", "/b", "/data/in"))


def test_mounts_in_dev_come_after_dev():
    found = tree(Point("/dev/shm", source="/pod/shm", read_only=False))
    assert found.index(("--dev", "/dev")) < found.index(("--bind", "/pod/shm", "/dev/shm"))


def volumes(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "other").mkdir()
    return {"data": Volume(tmp_path / "data"), "locked": Volume(tmp_path / "other", read_only=True)}


def test_sub_paths_are_made_and_expanded(tmp_path):
    container = {"volumeMounts": [{"name": "data", "mountPath": "/x", "subPathExpr": "$(A)/b"}]}
    (point,) = mounts.points(container, volumes(tmp_path), {"A": "a"})
    assert point == Point("/x", "bind", str(tmp_path / "data/a/b"), False)
    assert (tmp_path / "data/a/b").is_dir()


@pytest.mark.parametrize("path", ["../x", "/etc", "a/../../x", "link/x"])
def test_a_sub_path_that_leaves_is_refused(tmp_path, path):
    known = volumes(tmp_path)
    (tmp_path / "data/link").symlink_to("/etc")
    with pytest.raises(ConfigError, match="leaves its volume"):
        mounts.points({"volumeMounts": [{"name": "data", "mountPath": "/x", "subPath": path}]}, known, {})


def test_a_volume_or_a_mount_can_be_read_only_and_inner_points_are_made(tmp_path):
    some = [
        {"name": "locked", "mountPath": "/a"},
        {"name": "data", "mountPath": "/a/b/c"},
        {"name": "data", "mountPath": "/ro", "readOnly": True},
    ]
    found = mounts.points({"volumeMounts": some}, volumes(tmp_path), {})
    assert [(p.target, p.read_only) for p in found] == [("/a", True), ("/a/b/c", False), ("/ro", True)]
    assert (tmp_path / "other/b/c").is_dir()


def test_projected_files_change_all_at_once(tmp_path):
    folder = tmp_path / "v"
    assert payload.write(folder, {"a": File(b"1"), "deep/b": File(b"2", 0o400)})
    before = (folder / "..data").readlink()
    assert not payload.write(folder, {"a": File(b"1"), "deep/b": File(b"2", 0o400)}), "nothing changed"
    assert payload.write(folder, {"a": File(b"3")})
    assert (folder / "a").read_text() == "3"
    assert (folder / "..data").readlink() != before
    assert sorted(p.name for p in folder.iterdir() if not p.name.startswith("..")) == ["a"]
    assert not (folder / before).exists()


def test_projected_files_cannot_leave_their_volume(tmp_path):
    with pytest.raises(MissingKey, match="leaves its volume"):
        payload.write(tmp_path / "v", {"../x": File(b"1")})


def test_items_choose_and_rename_keys():
    data = {"a": b"1", "b": b"2"}
    assert payload.chosen(data, [{"key": "a", "path": "x/y", "mode": 0o400}], 0o644) == {"x/y": File(b"1", 0o400)}
    assert payload.chosen(data, [{"key": "no", "path": "x"}], 0o644, optional=True) == {}
    with pytest.raises(MissingKey, match="non-existent config key: no"):
        payload.chosen(data, [{"key": "no", "path": "x"}], 0o644)


PLAIN = {"name": "main", "image": "x", "command": ["true"]}


@pytest.mark.parametrize(
    ("spec", "container", "reason"),
    [
        ({"hostNetwork": True}, {}, "hostNetwork"),
        ({"shareProcessNamespace": True}, {}, "shareProcessNamespace"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, {}, "volume v: hostPath"),
        ({"volumes": [{"name": "v", "nfs": {}}]}, {}, "volume v: nfs"),
        ({}, {"securityContext": {"privileged": True}}, "privileged"),
        ({}, {"securityContext": {"capabilities": {"add": ["NET_ADMIN"]}}}, "NET_ADMIN"),
        ({}, {"ports": [{"hostPort": 80}]}, "hostPort"),
        ({}, {"livenessProbe": {"grpc": {}}}, "grpc"),
        ({"initContainers": [{**PLAIN, "securityContext": {"privileged": True}}]}, {}, "privileged"),
    ],
)
def test_what_is_refused(spec, container, reason):
    found = refusals.reasons({"spec": {"containers": [{**PLAIN, **container}], **spec}})
    assert len(found) == 1
    assert reason in found[0]


def test_an_ordinary_pod_is_not_refused():
    volumes = [{"name": n, kind: {}} for n, kind in enumerate(sorted(refusals.VOLUMES))]
    container = {**PLAIN, "securityContext": {"capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True}}
    assert refusals.reasons({"spec": {"containers": [container], "volumes": volumes}}) == []


@pytest.mark.parametrize(
    ("image", "gone"),
    [
        ("registry.invalid/a/b:1", True),
        ("registry.invalid:5000/a", True),
        ("invalid/a", True),
        ("a/b:missing", True),
        ("a/b:missing@sha256:" + "0" * 64, True),
        ("genops/trainer:1.0", False),
        ("genops/invalid:1", False),
        ("missing", False),
        ("host:5000/missing:2", False),
    ],
)
def test_images_that_cannot_be_had(image, gone):
    assert images.unavailable(image) is gone
    assert not images.malformed(image)


@pytest.mark.parametrize("image", ["", "UPPER/x", "a b", "/x", ":1"])
def test_names_that_are_no_image(image):
    assert images.malformed(image)


def test_the_longest_prefix_chooses_the_environment():
    known = {"genops/": "/a", "genops/server": "/b"}
    assert [images.environment_of(i, known, "/d") for i in ("genops/server:1", "genops/x", "y")] == ["/b", "/a", "/d"]


def test_memory_of_a_process_tree_counts_our_own():
    assert memory.used_by_tree(os.getpid()) > 10 << 20

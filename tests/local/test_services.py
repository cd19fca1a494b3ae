"""Who stands behind a service, what its names are, and the proxy on real sockets."""

import asyncio

import pytest

from genops.local.agent import endpoints, hosts
from genops.local.agent.addresses import Addresses
from genops.local.agent.endpoints import Listener
from genops.local.agent.proxy import Proxy

API = ("127.0.0.1", 6443)


def a_pod(name, ready=True, namespace="n", labels=None, **more):
    status = {"podIP": f"127.1.64.{len(name)}", "phase": more.pop("phase", "Running")}
    status["conditions"] = [{"type": "Ready", "status": str(ready)}]
    ports = [{"name": "web", "containerPort": 8080}]
    meta = {"name": name, "namespace": namespace, "uid": name, "labels": labels or {"app": "x"}}
    if more.pop("deleted", False):
        meta["deletionTimestamp"] = "now"
    return {"metadata": meta, "spec": {"containers": [{"ports": ports}], **more}, "status": status}


def a_service(name="web", cluster_ip="127.1.128.5", port=80, target="web", **more):
    spec = {"clusterIP": cluster_ip, "selector": {"app": "x"}, "ports": [{"port": port, "targetPort": target}], **more}
    return {"metadata": {"name": name, "namespace": "n"}, "spec": spec}


def backends(service, *pods, leaving=()):
    found = endpoints.listeners([service], pods, leaving, API)
    return [port for listener in found for port in listener.backends]


def test_only_ready_pods_of_the_namespace_that_stay_are_behind_a_service():
    pods = [
        a_pod("a"),
        a_pod("bb", ready=False),
        a_pod("ccc", deleted=True),
        a_pod("dddd", namespace="other"),
        a_pod("eeeee", labels={"app": "y"}),
        a_pod("ffffff", phase="Succeeded"),
        a_pod("ggggggg"),
    ]
    assert backends(a_service(), *pods) == [("127.1.64.1", 8080), ("127.1.64.7", 8080)]
    assert backends(a_service(), *pods, leaving={"a"}) == [("127.1.64.7", 8080)]


@pytest.mark.parametrize(("target", "number"), [("web", 8080), (9000, 9000), (0, 80)])
def test_target_ports(target, number):
    assert backends(a_service(target=target), a_pod("a")) == [("127.1.64.1", number)]


def test_an_unknown_port_name_leads_nowhere():
    assert backends(a_service(target="nope"), a_pod("a")) == []


def test_pods_that_are_not_ready_are_published_where_asked():
    assert backends(a_service(publishNotReadyAddresses=True), a_pod("a", ready=False)) == [("127.1.64.1", 8080)]


def test_the_service_kubernetes_leads_to_the_api_server():
    service = {"metadata": {"name": "kubernetes", "namespace": "default"}}
    service["spec"] = {"clusterIP": "127.1.128.1", "ports": [{"port": 443}]}
    assert backends(service) == [API]


def test_names_are_short_in_the_own_namespace_only():
    entry = hosts.Entry("n", "web", "127.1.128.5")
    assert entry.names("n")[-1] == "web"
    assert "web" not in entry.names("other")
    assert entry.names("other") == ["web.n.svc.cluster.local", "web.n.svc", "web.n"]


def test_a_headless_service_names_its_pods():
    pod = a_pod("a", hostname="first", subdomain="peers")
    found = endpoints.entries([a_service("peers", "None")], [pod, a_pod("bb")], ())
    assert [(e.address, e.host) for e in found] == [("127.1.64.1", ""), ("127.1.64.1", "first"), ("127.1.64.2", "")]


def test_the_hosts_file_of_a_pod():
    pod = a_pod("a", hostname="first", subdomain="peers", hostAliases=[{"ip": "10.0.0.1", "hostnames": ["s3", "s4"]}])
    text = hosts.text(pod, "127.1.64.9", [hosts.Entry("n", "web", "127.1.128.5")])
    assert text.splitlines()[2:] == [
        "127.1.64.9\tfirst.peers.n.svc.cluster.local first",
        "10.0.0.1\ts3 s4",
        "127.1.128.5\tweb.n.svc.cluster.local web.n.svc web.n web",
    ]


def test_a_hosts_file_stays_the_same_file_when_it_changes(tmp_path):
    path = tmp_path / "hosts"
    hosts.rewrite(path, "long text\n")
    inode = path.stat().st_ino
    hosts.rewrite(path, "short\n")
    assert (path.read_text(), path.stat().st_ino) == ("short\n", inode)


def test_addresses_are_given_to_one_pod_each_and_rest_when_freed():
    pool = Addresses("127.1.64.0/29")
    first, second = pool.take("a"), pool.take("b")
    assert len({first, second}) == 2
    pool.free(first, "a")
    assert pool.take("c") not in (first, second)
    assert pool.keep(second, "b") == second
    assert pool.keep(second, "x") != second


async def a_server(name):
    async def answer(reader, writer):
        writer.write(name.encode() + await reader.read())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[:2]


async def ask(address, text=b"?"):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(text)
    writer.write_eof()
    reply = await reader.read()
    writer.close()
    return reply.decode()


async def a_free_address():
    server, address = await a_server("")
    server.close()
    await server.wait_closed()
    return tuple(address)


async def test_the_proxy_takes_turns_skips_the_dead_and_refuses_when_alone():
    (one, at_one), (two, at_two) = await a_server("one"), await a_server("two")
    dead, front = await a_free_address(), await a_free_address()
    complaints = []
    proxy = Proxy(lambda listener, error: complaints.append(listener))
    try:
        await proxy.set([Listener("n/s", front, (tuple(at_one), tuple(at_two)))])
        assert {await ask(front) for _ in range(4)} == {"one?", "two?"}
        await proxy.set([Listener("n/s", front, (dead, tuple(at_two)))])
        assert {await ask(front) for _ in range(4)} == {"two?"}
        await proxy.set([])
        with pytest.raises(ConnectionRefusedError):
            await ask(front)
        assert complaints == []
    finally:
        proxy.close()
        one.close()
        two.close()


async def test_the_proxy_says_where_it_cannot_listen():
    server, taken = await a_server("x")
    complaints = []
    proxy = Proxy(lambda listener, error: complaints.append(listener.service))
    await proxy.set([Listener("n/s", tuple(taken), (API,))])
    assert complaints == ["n/s"]
    proxy.close()
    server.close()

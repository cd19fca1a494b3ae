"""Own certificate authorities, certificates and keys of one cluster.

Several authorities, so that a certificate is worth something in one place only: `ca` for the API, `etcd-ca` for etcd,
`node-ca` for the API server's calls to the node, `front-proxy-ca` for its calls to aggregated APIs. Knows X.509,
nothing of Kubernetes beyond user and group names.
"""

import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = timedelta(days=3650)
_SERVER_AND_CLIENT = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)


@dataclass(frozen=True)
class Leaf:
    """One certificate to issue."""

    name: str
    issuer: str
    user: str
    groups: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Authority:
    """A key that signs, and its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate


def ensure(folder: Path, authorities: Iterable[str], leaves: Iterable[Leaf]) -> None:
    """Write what is missing: all of it on the first call, nothing later."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    signers = {name: _authority(folder, name) for name in authorities}
    for leaf in leaves:
        if not (folder / f"{leaf.name}.crt").exists():
            _issue(folder, leaf, signers[leaf.issuer])
    if not (folder / "service-accounts.key").exists():
        _service_account_keys(folder)


def write_private(path: Path, data: bytes) -> None:
    """Write a file that only its owner may read, in one step."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
    half.rename(path)


def _authority(folder: Path, name: str) -> Authority:
    crt, key = folder / f"{name}.crt", folder / f"{name}.key"
    if not crt.exists():
        fresh = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"genops-local-{name}")])
        builder = _builder(subject, subject, fresh.public_key(), fresh.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        builder = builder.add_extension(_usage(signs=True), critical=True)
        write_private(key, _pem(fresh))
        write_private(crt, builder.sign(fresh, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return Authority(loaded, x509.load_pem_x509_certificate(crt.read_bytes()))


def _issue(folder: Path, leaf: Leaf, signer: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in leaf.groups]
    subject = x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, leaf.user)])
    builder = _builder(subject, signer.certificate.subject, key.public_key(), signer.key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(_usage(signs=False), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage(_SERVER_AND_CLIENT), critical=False)
    if leaf.hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(map(_alternative, leaf.hosts)), critical=False)
    certificate = builder.sign(signer.key, hashes.SHA256())
    write_private(folder / f"{leaf.name}.key", _pem(key))
    write_private(folder / f"{leaf.name}.crt", certificate.public_bytes(serialization.Encoding.PEM))


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, signer: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def _usage(signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _service_account_keys(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_private(folder / "service-accounts.pub", public)
    write_private(folder / "service-accounts.key", _pem(key))


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

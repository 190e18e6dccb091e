"""The files of the doors: a small one of each type that a recipe opens."""

import hashlib
import io
import json
import pathlib
import subprocess
import tarfile

CSV = "site,kg\nUO,40\nDBO,2\n"
STAC = "application/geo+json"
BUCKET = """<?xml version="1.0"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>example-bucket</Name><KeyCount>1</KeyCount>
<IsTruncated>false</IsTruncated><Contents><Key>UO.DBO.mseed</Key><LastModified>2024-01-01T00:00:00.000Z</LastModified>
<Size>512</Size></Contents></ListBucketResult>"""


def make(folder, git):
    root = pathlib.Path(folder)

    def write(path, content):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    for path in ("data/obs.csv", "archive/obs.csv", "dav/obs.csv"):
        write(path, CSV)
    write("version/index", json.dumps({"major": "1", "minor": "30", "gitVersion": "v1.30-doors", "gitCommit": "",
          "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": ""}))
    write("archive/index", '<a href="obs.csv">obs.csv</a>')
    write("example-bucket/index", BUCKET)
    raster(root), cube(root), seismogram(root), stac(write), registry(write), crates(write), repository(root, git)


def raster(root):
    import numpy
    import rasterio

    for path in ("data/scene.tif", "platform/v1/asset/scene.tif"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        how = {"driver": "GTiff", "width": 64, "height": 64, "count": 1, "dtype": "uint8", "crs": "EPSG:4326"}
        how["transform"] = rasterio.transform.from_origin(10, 10, 0.5, 0.5)
        with rasterio.open(root / path, "w", **how) as scene:
            scene.write(numpy.full((1, 64, 64), 3, "uint8"))


def cube(root):
    import xarray

    xarray.Dataset({"plume": ("t", [20.0, 22.0])}).to_netcdf(root / "data/cube.nc", engine="h5netcdf")


def seismogram(root):
    import numpy
    from obspy import Stream, Trace, UTCDateTime

    head = {"network": "UO", "station": "DBO", "channel": "HHZ", "starttime": UTCDateTime(2024, 1, 1)}
    folder = root / "fdsnws/dataselect/1"
    folder.mkdir(parents=True)
    Stream(Trace(numpy.arange(10, dtype="int32"), head)).write(str(folder / "query"), format="MSEED")


def stac(write):
    core = "https://api.stacspec.org/v1.0.0/"
    catalog = {
        "type": "Catalog", "id": "plumes-catalog", "stac_version": "1.0.0", "description": "plumes",
        "conformsTo": [core + "core", core + "item-search", core + "collections"],
    }
    for path in ("platform/v1/stac", "api/v1/stac"):
        links = [{"rel": rel, "href": f"HOST/{path}", "type": "application/json"} for rel in ("self", "root")]
        search = [{"rel": "search", "href": f"HOST/{path}/search", "type": STAC, "method": "POST"}]
        write(f"{path}/index", json.dumps({**catalog, "links": links + search}))
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "plume-1", "geometry": None, "links": [], "assets": {},
        "properties": {"datetime": "2024-01-01T00:00:00Z"}, "collection": "plumes",
    }
    write("api/v1/stac/search", json.dumps({"type": "FeatureCollection", "features": [item], "links": []}))


def registry(write):
    kind = "application/vnd.docker.distribution.manifest.v2+json"
    digest = f"sha256:{hashlib.sha256(b'{}').hexdigest()}"
    blob = {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": digest}
    layer = {**blob, "mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": blob, "layers": [layer]}
    write("v2/index", "{}")
    write("v2/plumes/manifests/1", json.dumps(manifest))
    write(f"v2/plumes/blobs/{digest}", "{}")


def crates(write):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, text in (("Cargo.toml", '[package]\nname = "plumes"\nversion = "1.0.0"\n'), ("src/lib.rs", "")):
            entry = tarfile.TarInfo(f"plumes-1.0.0/{name}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    sum = hashlib.sha256(packed.getvalue()).hexdigest()
    line = {"name": "plumes", "vers": "1.0.0", "deps": [], "cksum": sum, "features": {}, "yanked": False}
    write("index/config.json", json.dumps({"dl": "HOST/crates/{crate}", "api": "HOST", "auth-required": True}))
    write("index/pl/um/plumes", json.dumps(line) + "\n")
    write("crates/plumes", packed.getvalue())


def repository(root, git):
    work, bare = root / "work", root / "plumes.git"
    work.mkdir()
    (work / "README").write_text("plumes of methane\n")
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "first"]):
        subprocess.run([git, "-C", str(work), *words], check=True)
    subprocess.run([git, "clone", "-q", "--bare", str(work), str(bare)], check=True)
    subprocess.run([git, "-C", str(bare), "update-server-info"], check=True)


def certificate(folder, openssl):
    """Creates a certificate for loopback, with its key, in one file."""
    file = f"{folder}/certificate.pem"
    words = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", file, "-out", file + ".crt", "-days", "2"]
    names = ["-subj", "/CN=doors", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([openssl, *words, *names], check=True, capture_output=True)
    with open(file, "a") as whole:
        whole.write(pathlib.Path(file + ".crt").read_text())
    return file

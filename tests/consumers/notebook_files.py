"""The files of the notebook's hosts: days of GNSS data, plumes, cloud masks."""

import json
import pathlib

import fixtures

ARCHIVE, DAYS = "archive/gnss/rinex/obs", 7
PLUMES = ["tan20250603t175511c20s4001-A", "tan20250611t181940c35s4001-C"]
SCENES = [f"S2B_31TCJ_2024060{day}_0_L2A" for day in (2, 5, 7)]
SIGNATURE = "X-Amz-Signature=5f1e"
"""The secret part of a signed URL."""


def make(folder):
    root = pathlib.Path(folder)
    write = writer(root)
    for day in range(1, DAYS + 1):
        write(f"{ARCHIVE}/2025/{day:03}/p034{day:03}0.25d.Z", bytes([0x1F, 0x9D, 0x90]) + bytes(range(100 + day)))
    fixtures.stac(write)
    fixtures.raster(root)
    raster = (root / "data/scene.tif").read_bytes()
    for name in PLUMES:
        write(f"api/v1/catalog/asset/{name}.tif", raster)
    for name in SCENES:
        write(f"masks/{name}.tif", raster)


def searches(folder, bucket):
    """Writes the search results of the catalogs. EarthDaily's assets are in the bucket."""
    write = writer(pathlib.Path(folder))
    write("api/v1/stac/search", found(plume(name) for name in PLUMES))
    write("platform/v1/stac/search", found(scene(name, bucket) for name in SCENES))


def writer(root):
    def write(path, content):
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def found(items):
    return json.dumps({"type": "FeatureCollection", "features": list(items), "links": []})


def item(name, collection, day, assets):
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection, "geometry": None, "links": [],
        "properties": {"datetime": f"{day[:4]}-{day[4:6]}-{day[6:8]}T12:00:00Z"}, "assets": assets,
    }


def plume(name):
    asset = {"href": f"HOST/api/v1/catalog/asset/{name}.tif", "type": "image/tiff; application=geotiff"}
    assets = {"plume.tif": asset, "plume-concentrations.tif": asset}
    return item(name, "l3a-vis-ch4-mfa-v3a", name[3:11], assets)


def scene(name, bucket):
    signed = {"download": {"href": f"{bucket}/masks/{name}.tif?{SIGNATURE}"}}
    assets = {"agriculture-cloud-mask": {"href": f"s3://masks/{name}.tif", "alternate": signed}}
    return item(name, "sentinel-2-l2a-cog-ag-cloud-mask", name[10:18], assets)

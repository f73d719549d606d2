"""Turns CDNOW_sample.txt into events.parquet and users.parquet, beside this file.

    pip download --no-deps lifetimes==0.11.3      # MIT; the wheel carries lifetimes/datasets/CDNOW_sample.txt
    pip install pandas pyarrow
    python convert.py Lifetimes-0.11.3-py3-none-any.whl

The argument may also be the text file itself. Its columns: id in the full data, id in the sample, date, CDs, dollars.
"""

import io
import pathlib
import sys
import zipfile

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent
MEMBER = "lifetimes/datasets/CDNOW_sample.txt"


def read(source):
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as wheel:
            text = wheel.read(MEMBER).decode("ascii")
    else:
        text = pathlib.Path(source).read_text("ascii")
    names = ["cdnow_id", "user_id", "date", "cds", "amount"]
    rows = pd.read_csv(io.StringIO(text), sep=r"\s+", names=names, dtype={"date": str})
    rows["ts"] = pd.to_datetime(rows["date"], format="%Y%m%d")
    # A stable sort: two purchases of one day keep the order they have in the text.
    return rows.sort_values(["user_id", "ts"], kind="stable").reset_index(drop=True)


def write(table, name):
    sorting = [pq.SortingColumn(table.schema.get_field_index(c)) for c in ("user_id", "ts") if c in table.schema.names]
    pq.write_table(table, HERE / name, compression="zstd", sorting_columns=sorting)
    print(f"{name}: {table.num_rows} rows, {(HERE / name).stat().st_size} bytes")


def main():
    rows = read(sys.argv[1])
    assert len(rows) == 6919 and rows["user_id"].nunique() == 2357, "not the 1/10 sample"
    event = pa.DictionaryArray.from_arrays(pa.array([0] * len(rows), pa.int32()), pa.array(["purchase"]))
    write(
        pa.table(
            {
                "user_id": pa.array(rows["user_id"], pa.int64()),
                "ts": pa.array(rows["ts"], pa.timestamp("us")),
                "event": event,
                "cds": pa.array(rows["cds"], pa.int32()),
                "amount": pa.array(rows["amount"], pa.float64()),
            }
        ),
        "events.parquet",
    )
    users = rows.groupby("user_id", as_index=False).agg(cdnow_id=("cdnow_id", "first"), first=("ts", "min"))
    write(
        pa.table(
            {
                "user_id": pa.array(users["user_id"], pa.int64()),
                "cdnow_id": pa.array(users["cdnow_id"], pa.int64()),
                "first_purchase": pa.array(users["first"].dt.date, pa.date32()),
            }
        ),
        "users.parquet",
    )


if __name__ == "__main__":
    main()

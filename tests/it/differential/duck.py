"""Answers statements with DuckDB: a JSON list of statements on standard input, a JSON list of answers on standard output.

An answer is a list of rows of texts, sorted, or {"error": ..}. Numbers are rounded to nine digits, as the other side rounds them.
"""
import datetime
import decimal
import json
import sys

import duckdb


def text(value):
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float, decimal.Decimal)):
        return number(float(value))
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, datetime.date):
        return value.strftime("%Y-%m-%d 00:00:00.000000")
    if isinstance(value, list):
        return "[" + ", ".join(text(v) for v in value) + "]"
    return str(value)


def number(value):
    if value != value:
        return "nan"
    return f"{value:.9e}" if value else f"{0.0:.9e}"


def main():
    asked = json.load(sys.stdin)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    answers = []
    for statement in asked:
        try:
            rows = connection.execute(statement).fetchall()
            answers.append(sorted([[text(v) for v in row] for row in rows]))
        except Exception as e:  # every kind of refusal is an answer
            answers.append({"error": str(e).split("\n")[0]})
    json.dump(answers, sys.stdout)


main()

"""FastAPI with SQLAlchemy's async session, on psycopg or aiosqlite: `uvicorn fastapi_app:app`."""

import os

import sqlalchemy as sa
from fastapi import FastAPI, Response
from shop import InvoiceIssued, invoices
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from eventbus.sql import Outbox

app = FastAPI()
outbox = Outbox(source="fastapi")
engine = create_async_engine(os.environ["DATABASE_URL"], pool_pre_ping=True)
new_session = async_sessionmaker(engine)


@app.put("/invoices/{number}")
async def issue(number: int) -> Response:
    try:
        async with new_session.begin() as session:
            await session.execute(sa.insert(invoices).values(number=number))
            await outbox.add_async(session, InvoiceIssued(number=number))
    except sa.exc.IntegrityError:
        return Response(status_code=200)  # it was issued before
    return Response(status_code=201)

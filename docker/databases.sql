-- A database and a role for each service; no role may even connect to the database of another.
\getenv orders_password ORDERS_DB_PASSWORD
\getenv fulfillment_password FULFILLMENT_DB_PASSWORD
\getenv email_password EMAIL_DB_PASSWORD

CREATE ROLE orders LOGIN PASSWORD :'orders_password';
CREATE ROLE fulfillment LOGIN PASSWORD :'fulfillment_password';
CREATE ROLE email_confirmation LOGIN PASSWORD :'email_password';

CREATE DATABASE orders OWNER orders;
CREATE DATABASE fulfillment OWNER fulfillment;
CREATE DATABASE email_confirmation OWNER email_confirmation;

REVOKE CONNECT, TEMPORARY ON DATABASE orders FROM PUBLIC;
REVOKE CONNECT, TEMPORARY ON DATABASE fulfillment FROM PUBLIC;
REVOKE CONNECT, TEMPORARY ON DATABASE email_confirmation FROM PUBLIC;
REVOKE CONNECT, TEMPORARY ON DATABASE postgres FROM PUBLIC;

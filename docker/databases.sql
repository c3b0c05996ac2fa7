-- A database for each service, with two roles: the owner makes and changes tables, the run-time role reads and writes rows.
-- No role may even connect to the database of another service. Runs once, when the volume is empty.
\set orders_owner_password `cat /run/secrets/orders_owner_password`
\set orders_password `cat /run/secrets/orders_password`
\set fulfillment_owner_password `cat /run/secrets/fulfillment_owner_password`
\set fulfillment_password `cat /run/secrets/fulfillment_password`
\set email_owner_password `cat /run/secrets/email_owner_password`
\set email_password `cat /run/secrets/email_password`

CREATE ROLE orders_owner LOGIN PASSWORD :'orders_owner_password';
CREATE ROLE orders LOGIN PASSWORD :'orders_password';
CREATE DATABASE orders OWNER orders_owner;
REVOKE CONNECT, TEMPORARY ON DATABASE orders FROM PUBLIC;
GRANT CONNECT ON DATABASE orders TO orders;

CREATE ROLE fulfillment_owner LOGIN PASSWORD :'fulfillment_owner_password';
CREATE ROLE fulfillment LOGIN PASSWORD :'fulfillment_password';
CREATE DATABASE fulfillment OWNER fulfillment_owner;
REVOKE CONNECT, TEMPORARY ON DATABASE fulfillment FROM PUBLIC;
GRANT CONNECT ON DATABASE fulfillment TO fulfillment;

CREATE ROLE email_confirmation_owner LOGIN PASSWORD :'email_owner_password';
CREATE ROLE email_confirmation LOGIN PASSWORD :'email_password';
CREATE DATABASE email_confirmation OWNER email_confirmation_owner;
REVOKE CONNECT, TEMPORARY ON DATABASE email_confirmation FROM PUBLIC;
GRANT CONNECT ON DATABASE email_confirmation TO email_confirmation;

REVOKE CONNECT, TEMPORARY ON DATABASE postgres FROM PUBLIC;

\connect orders
ALTER DEFAULT PRIVILEGES FOR ROLE orders_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO orders;
ALTER DEFAULT PRIVILEGES FOR ROLE orders_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO orders;

\connect fulfillment
ALTER DEFAULT PRIVILEGES FOR ROLE fulfillment_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO fulfillment;
ALTER DEFAULT PRIVILEGES FOR ROLE fulfillment_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO fulfillment;

\connect email_confirmation
ALTER DEFAULT PRIVILEGES FOR ROLE email_confirmation_owner IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO email_confirmation;
ALTER DEFAULT PRIVILEGES FOR ROLE email_confirmation_owner IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO email_confirmation;

from django.db import migrations

# Whoever writes a message, by whichever way, wakes the relays with its commit: no writer can forget to.
MAKE = """
    CREATE FUNCTION outbox_ring() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('desk_outbox', NEW.task);
        RETURN NULL;
    END $$;
    CREATE TRIGGER outbox_ring AFTER INSERT ON outbox_message FOR EACH ROW EXECUTE FUNCTION outbox_ring();
"""
REMOVE = "DROP TRIGGER outbox_ring ON outbox_message; DROP FUNCTION outbox_ring();"


def make(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(MAKE)


def remove(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(REMOVE)


class Migration(migrations.Migration):

    dependencies = [("common", "0003_webhooks")]

    operations = [migrations.RunPython(make, remove)]

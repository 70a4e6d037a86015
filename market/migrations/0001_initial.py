from decimal import Decimal

import django.core.validators
import django.db.models.deletion
from django.db import migrations, models

import tradingsite.common.clock
import tradingsite.common.decimals
import tradingsite.common.ids


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="DataSource",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tradingsite.common.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(default=tradingsite.common.clock.utcnow, editable=False)),
                ("updated_at", models.DateTimeField(default=tradingsite.common.clock.utcnow, editable=False)),
                (
                    "slug",
                    models.CharField(
                        max_length=40,
                        unique=True,
                        validators=[django.core.validators.RegexValidator("^[a-z][a-z0-9_-]{0,39}\\Z")],
                    ),
                ),
                ("title", models.CharField(blank=True, default="", max_length=120)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("sample", "Shipped sample"),
                            ("demo", "Generated market"),
                            ("import", "Imported files"),
                            ("yahoo", "Yahoo Finance"),
                        ],
                        max_length=10,
                    ),
                ),
                ("clock", models.CharField(choices=[("live", "Live"), ("historical", "Historical")], max_length=10)),
                (
                    "generated",
                    models.BooleanField(default=False, help_text="The prices are invented, and every page says so."),
                ),
            ],
            options={
                "ordering": ["slug"],
            },
        ),
        migrations.CreateModel(
            name="BarImport",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tradingsite.common.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(default=tradingsite.common.clock.utcnow, editable=False)),
                ("updated_at", models.DateTimeField(default=tradingsite.common.clock.utcnow, editable=False)),
                ("source_slug", models.CharField(max_length=40)),
                ("filename", models.CharField(blank=True, default="", max_length=200)),
                (
                    "sha256",
                    models.CharField(blank=True, default="", help_text="Of the file as it came.", max_length=64),
                ),
                ("options", models.JSONField(blank=True, default=dict)),
                ("status", models.CharField(choices=[("done", "Done"), ("failed", "Failed")], max_length=10)),
                ("report", models.JSONField(blank=True, default=dict)),
                ("actor_name", models.CharField(max_length=150)),
                ("created_by_id", models.IntegerField(blank=True, db_index=True, editable=False, null=True)),
            ],
            options={
                "ordering": ["-created_at", "-id"],
                "indexes": [models.Index(fields=["-created_at", "-id"], name="bar_import_newest")],
            },
        ),
        migrations.CreateModel(
            name="Instrument",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tradingsite.common.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(default=tradingsite.common.clock.utcnow, editable=False)),
                ("updated_at", models.DateTimeField(default=tradingsite.common.clock.utcnow, editable=False)),
                (
                    "symbol",
                    models.CharField(
                        max_length=15,
                        unique=True,
                        validators=[django.core.validators.RegexValidator("^[A-Z][A-Z0-9.\\-]{0,14}\\Z")],
                    ),
                ),
                ("name", models.CharField(blank=True, default="", max_length=120)),
                (
                    "exchange",
                    models.CharField(default="XNYS", help_text="Code of the exchange calendar.", max_length=12),
                ),
                (
                    "currency",
                    models.CharField(
                        default="USD", max_length=3, validators=[django.core.validators.RegexValidator("^[A-Z]{3}\\Z")]
                    ),
                ),
                (
                    "asset_class",
                    models.CharField(
                        choices=[
                            ("equity", "Equity"),
                            ("etf", "Exchange-traded fund"),
                            ("crypto", "Crypto"),
                            ("fx", "Currency pair"),
                            ("future", "Future"),
                        ],
                        default="equity",
                        max_length=10,
                    ),
                ),
                (
                    "price_precision",
                    models.PositiveSmallIntegerField(
                        default=2,
                        help_text="Decimals of a price.",
                        validators=[django.core.validators.MaxValueValidator(10)],
                    ),
                ),
                (
                    "quantity_precision",
                    models.PositiveSmallIntegerField(
                        default=0,
                        help_text="Decimals of a quantity.",
                        validators=[django.core.validators.MaxValueValidator(10)],
                    ),
                ),
                (
                    "lot_size",
                    tradingsite.common.decimals.QuantityField(
                        decimal_places=10,
                        default=1,
                        help_text="Orders are multiples of it.",
                        max_digits=28,
                        validators=[django.core.validators.MinValueValidator(Decimal("1E-10"))],
                    ),
                ),
                (
                    "enabled",
                    models.BooleanField(default=True, help_text="Orders are refused for a disabled instrument."),
                ),
                ("created_by_id", models.IntegerField(blank=True, editable=False, null=True)),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                (
                    "default_source",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="default_for",
                        to="market.datasource",
                    ),
                ),
            ],
            options={
                "ordering": ["symbol"],
            },
        ),
        migrations.CreateModel(
            name="BarSeries",
            fields=[
                (
                    "id",
                    models.UUIDField(
                        default=tradingsite.common.ids.uuid7, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("created_at", models.DateTimeField(default=tradingsite.common.clock.utcnow, editable=False)),
                ("updated_at", models.DateTimeField(default=tradingsite.common.clock.utcnow, editable=False)),
                (
                    "timeframe",
                    models.CharField(
                        choices=[
                            ("1m", "1 minute"),
                            ("5m", "5 minutes"),
                            ("15m", "15 minutes"),
                            ("1h", "1 hour"),
                            ("1d", "1 day"),
                        ],
                        max_length=3,
                    ),
                ),
                (
                    "adjustment",
                    models.CharField(
                        choices=[
                            ("none", "As traded"),
                            ("split", "Adjusted for splits"),
                            ("split_dividend", "Adjusted for splits and dividends"),
                        ],
                        default="none",
                        max_length=14,
                    ),
                ),
                ("version", models.PositiveIntegerField(default=0)),
                ("first_at", models.DateTimeField(blank=True, help_text="When the first bar opened.", null=True)),
                ("last_at", models.DateTimeField(blank=True, help_text="When the last bar opened.", null=True)),
                ("bars_count", models.PositiveIntegerField(default=0)),
                (
                    "fingerprint",
                    models.CharField(blank=True, default="", help_text="SHA-256 of the present bars.", max_length=64),
                ),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="series", to="market.datasource"
                    ),
                ),
                (
                    "instrument",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="series", to="market.instrument"
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "bar series",
                "ordering": ["instrument__symbol", "source__slug", "timeframe", "adjustment"],
            },
        ),
        migrations.AddConstraint(
            model_name="instrument",
            constraint=models.CheckConstraint(
                condition=models.Q(("lot_size__gt", 0)), name="instrument_lot_size_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="instrument",
            constraint=models.CheckConstraint(
                condition=models.Q(("price_precision__lte", 10), ("quantity_precision__lte", 10)),
                name="instrument_precision_storable",
            ),
        ),
        migrations.AddConstraint(
            model_name="barseries",
            constraint=models.UniqueConstraint(
                fields=("instrument", "source", "timeframe", "adjustment"), name="bar_series_one_of_a_kind"
            ),
        ),
        migrations.AddConstraint(
            model_name="barseries",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("bars_count", 0), ("first_at", None), ("last_at", None)),
                    models.Q(("bars_count__gt", 0), ("first_at__isnull", False), ("last_at__isnull", False)),
                    _connector="OR",
                ),
                name="bar_series_range_with_bars",
            ),
        ),
    ]

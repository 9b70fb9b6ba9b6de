{#-
    The body of a staging model: the columns of a raw table, one row per event. The stream's contract names the columns
    that identify an event, and which of several events with the same id counts: the first or the last in the order of
    partitions and offsets. If no column identifies an event, every record is one. So is a record without a value in a
    column of the id: it was loaded before the contract had that column (`identity`).

    An incremental run reads only stale dates, so it also leaves out events that are already kept under fresh dates. An
    event that is kept under a stale date and is gone from there may have been sent again on a fresh one: only for such
    events is the whole raw table read. A tombstone takes part like any event; `by_key` then removes its row.
-#}
{%- macro stage_events(table, columns) -%}
{%- set contract = contract_of(source('raw', table)) -%}
{%- set id = quoted(contract.get('id', [])) -%}
{%- set place = ['_partition', '_offset', '_topic_id'] -%}
{%- set better = '>' if contract.get('keep') == 'last' else '<' -%}
{%- set deleted = ['_deleted'] if contract.get('deletes') else [] -%}
with
{%- if id and rebuilds_part() %}
gone as (
    select {{ (id + place) | join(', ') }} from {{ this }}
    where {{ is_stale() }}
    except
    select {{ (id + place) | join(', ') }} from {{ source('raw', table) }}
    where {{ is_stale() }}
),
{% endif %}
source as (
    select * from {{ source('raw', table) }}
    where {{ is_stale() }}
    {%- if id and rebuilds_part() %}
    union all
    select resent.* from gone
    inner join {{ source('raw', table) }} as resent on {{ same_id(id, 'gone', 'resent') }}
    {%- endif %}
),

renamed as (
    select
        {%- for column in quoted(columns + contract.get('id', []) | reject('in', columns) | list) + deleted %}
        {{ column }},
        {%- endfor %}
        _event_date,
        _topic_id,
        _partition,
        _offset
    from source
)
{%- if id %},

final as (
    {%- set condition -%}
        true
        {%- if rebuilds_part() %}
        and not exists (
            select 1
            from {{ this }} as kept
            where
                {{ same_id(id, 'kept', 'renamed') }}
                and not ({{ is_stale('kept._event_date') }})
                and ({{ prefixed('kept', place) }}) {{ better }} ({{ prefixed('renamed', place) }})
        )
        {%- if deleted %}
        and not exists (
            select 1
            from {{ source('raw', table) }} as tombstone
            where
                tombstone._deleted
                and {{ same_id(id, 'tombstone', 'renamed') }}
                and ({{ prefixed('tombstone', place) }}) > ({{ prefixed('renamed', place) }})
                and not ({{ is_stale('tombstone._event_date') }})
        )
        {%- endif %}
        {%- endif %}
    {%- endset %}
    {%- set order = [] -%}
    {%- for column in place -%}{%- do order.append(column ~ ' desc' if better == '>' else column) -%}{%- endfor -%}
    {{ first_rows('renamed', identity(id), order, condition) }}
)

select * from final
{%- else %}

select * from renamed
{%- endif %}
{%- endmacro -%}

{#-
    What the contract of a raw table says of its events: a dict with `id`, `keep` and `deletes`; empty while parsing. Unit
    tests, which have no sources, override this macro.
-#}
{%- macro contract_of(relation) -%}
    {%- set sources = graph.get('sources', {}).values() | selectattr('source_name', 'equalto', 'raw')
        | selectattr('identifier', 'equalto', relation.identifier) | list if execute else [] -%}
    {{ return(sources[0].config.meta if sources else {}) }}
{%- endmacro -%}

{#- What no two rows of a staging model share: the contract's id, or else the record's place in Kafka. -#}
{%- macro identity_of(table) -%}
    {%- set id = quoted(contract_of({'identifier': table}).get('id', [])) -%}
    {{ return(identity(id) if id else ['_topic_id', '_partition', '_offset']) }}
{%- endmacro -%}

{#-
    Expressions that identify an event: the columns of the id and, for a row that has no value in one of them, its place.
    Elsewhere, ids are compared with `=`, by which such a row equals no other.
-#}
{%- macro identity(id) -%}
    {%- set place = "concat_ws(' ', _topic_id, _partition, _offset)" -%}
    {{ return(id + ['case when ' ~ id | join(' is null or ') ~ ' is null then ' ~ place ~ ' end']) }}
{%- endmacro -%}

{#-
    The columns that identify a row of a model: its config `unique_key`, or else, for a staging model, the contract's id.
    Empty if nothing does.
-#}
{%- macro row_id() -%}
    {%- set configured = config.get('unique_key') -%}
    {%- if configured -%}
        {{ return([configured] if configured is string else configured) }}
    {%- endif -%}
    {{ return(quoted(staged_contract().get('id', []))) }}
{%- endmacro -%}

{#- The same of the stream whose staging model is built; empty for any other model. -#}
{%- macro staged_contract() -%}
    {%- if execute and config.get('rebuild') == 'event_date' -%}
        {%- for name in model.depends_on.nodes if name in graph.sources -%}
            {{ return(graph.sources[name].config.meta) }}
        {%- endfor -%}
    {%- endif -%}
    {{ return({}) }}
{%- endmacro -%}

{#- A contract's columns for SQL, which reserves words that they may be, such as `user`. -#}
{%- macro quoted(columns) -%}
    {%- set names = [] -%}
    {%- for column in columns -%}{%- do names.append(adapter.quote(column)) -%}{%- endfor -%}
    {{ return(names) }}
{%- endmacro -%}

{%- macro prefixed(table, columns) -%}
    {%- for column in columns -%}{{ table }}.{{ column }}{{ ', ' if not loop.last }}{%- endfor -%}
{%- endmacro -%}

{%- macro same_id(id, left, right) -%}
    {%- for column in id -%}{{ left }}.{{ column }} = {{ right }}.{{ column }}{{ ' and ' if not loop.last }}{%- endfor -%}
{%- endmacro -%}

{#-
    Marks fresh dates as stale that a staging model takes a row from or adds a row to, in the warehouse and in the run's
    plan: whatever is built after the model, in this run or a later one, rebuilds those dates too.
-#}
{%- macro mark_moved(name, target, built, id) -%}
    with moved as (
        insert into ops.stale_dates (stream, event_date)
        select dates.stream, fresh._event_date
        from (
            select _event_date from {{ built }}
            union
            select replaced._event_date from {{ target }} as replaced
            where ({{ prefixed('replaced', id) }}) in (select {{ id | join(', ') }} from {{ built }})
        ) as fresh
        cross join (
            select min(stream) as stream from staging.stale_partitions
            where replace(stream, '.', '_') = '{{ name.removeprefix('stg_') }}'
        ) as dates
        where not ({{ is_stale('fresh._event_date') }})
        returning seq, stream, event_date
    )

    insert into staging.stale_partitions (seq, stream, event_date)
    select seq, stream, event_date from moved
{%- endmacro -%}

//! The one place that assembles a session from configuration, store, functions, relations and plan rules.
//!
//! Deals with: opening a session, running one statement, telling what tables there are.
//! Does not deal with: printing, files of results, the command line (`cli`, `output`).

mod condition;
mod copy;
mod deep;
mod described;
mod dialect;
mod event_names;
mod files;
mod last_result;
mod memory;
mod names;
mod newest;
mod options;
mod params;
mod read_files;
mod read_only;
mod repeated;
mod script;
mod statement;
mod twins;
mod writes;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::catalog::{CatalogProviderList, DynamicFileCatalog, MemoryCatalogProviderList, UrlTableFactory};
use datafusion::common::TableReference;
use datafusion::common::config::ExtensionOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::{FunctionRegistry, SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::logical_expr::{
    CreateExternalTable, DdlStatement, LogicalPlan, LogicalPlanBuilder, Statement as PlanStatement,
};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::Statement as Parsed;
use datafusion::sql::sqlparser::ast::Statement as Sql;
use futures::TryStreamExt;
use parking_lot::RwLock;

use self::described::Wanted;
use self::files::LocalFiles;
use self::newest::NewestCatalogs;
use self::read_files::ReadFiles;
use self::statement::column_names::{self, Depth};
use crate::config::notes::Notes;
use crate::config::{PromptEntry, TableEntry, TenureOptions, WORKSPACE_FILE, Workspace};
use crate::error::{Error, Kind, NO_FUNCTION, Result, nearest, suggest};
use crate::files::parquet::Footers;
use crate::functions::FunctionDoc;
use crate::functions::plain_sql::sql_type;
use crate::relations::BehaviourRelations;
use crate::{functions, plan, relations, store};

pub use crate::plan::Stop;
pub use condition::Condition;
pub use event_names::{EventNames, Stamp};
pub use last_result::{Keeper, LAST_RESULT, LastResult};
pub use params::{Param, placeholders};
pub use relations::{Takes, argument_names as arguments_of, takes};
pub use script::{Script, Statement, split};

/// What a session is opened with.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Folder that holds `tenure.toml`; without it the current folder's file is used where there is one. Managed tables directly
    /// below it are tables of the session by their folders' names, unless the file says otherwise.
    pub workspace: Option<PathBuf>,
    /// Tables to register: name and location (a file, a folder, a glob, a managed table's folder).
    pub tables: Vec<(String, String)>,
    /// Bytes that queries may hold; `None` is no limit.
    pub memory: Option<usize>,
    /// Threads and partitions; `None` is one for each core.
    pub threads: Option<usize>,
    /// Whether `SELECT * FROM 'file.parquet'` may read files that were not registered.
    pub local_files: bool,
    /// Whether statements only read, and only the tables that the session was opened with: no COPY, no DDL, no INSERT, no file named in FROM.
    pub read_only: bool,
    /// `SET key = value` pairs applied when the session opens.
    pub options: Vec<(String, String)>,
}

/// Named query parameters (`$name`) with their values.
pub type Params = std::collections::BTreeMap<String, Param>;

/// A session.
#[derive(Clone)]
pub struct Engine {
    context: SessionContext,
    workspace: Arc<Workspace>,
    read_only: bool,
    files: Arc<LocalFiles>,
}

/// What a statement answers: batches that arrive while it runs. Dropping it stops the query.
pub struct Answer {
    /// Columns of the result; none for a statement such as `SET` or `CREATE`.
    pub schema: SchemaRef,
    /// The batches.
    pub stream: SendableRecordBatchStream,
    plan: Arc<dyn ExecutionPlan>,
    /// Whether it may be run again as long as it has given no row: it changes nothing before.
    repeatable: bool,
}

/// How far a running query is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows read from files so far.
    pub rows_read: u64,
    /// Rows that the files hold, where their statistics tell.
    pub rows_total: Option<u64>,
}

/// A poller of [`Progress`] that outlives the stream.
#[derive(Clone)]
pub struct ProgressMeter(Arc<dyn ExecutionPlan>);

/// A registered table, for `\d` and completion.
#[derive(Debug, Clone)]
pub struct TableInfo {
    /// Name as written in SQL.
    pub name: String,
    /// What the workspace file says of it.
    pub description: Option<String>,
    /// Columns: name, type as SQL shows it, role (`user`, `time`, `event`) where it has one.
    pub columns: Vec<ColumnInfo>,
}

/// A column of a [`TableInfo`].
#[derive(Debug, Clone)]
pub struct ColumnInfo {
    /// Name.
    pub name: String,
    /// Its type by its name in SQL.
    pub data_type: String,
    /// `user`, `time` or `event`.
    pub role: Option<String>,
}

/// Every function and relation of tenure, in the order of the manual: relations first.
pub fn catalogue() -> Vec<FunctionDoc> {
    [relations::docs(), read_files::docs(), functions::docs()].concat()
}

impl Engine {
    /// Opens a session.
    pub async fn open(settings: &Settings) -> Result<Self> {
        let folder = settings.workspace.clone().unwrap_or_else(|| PathBuf::from("."));
        let found = store::managed::below(&folder);
        let named = settings.workspace.is_some();
        // A folder of managed tables is a workspace without further words.
        let (workspace, file) = Workspace::read(&folder, named && found.is_empty())?;
        let is_workspace = named || file.exists();
        let offered = if is_workspace { found } else { Vec::new() };
        let files = Arc::new(LocalFiles {
            session: RwLock::new(None),
            allowed: settings.local_files && !settings.read_only,
            workspace: is_workspace.then(|| folder.clone()),
            broken: RwLock::default(),
            opened: RwLock::default(),
            last_result: RwLock::default(),
        });
        let found: Arc<dyn CatalogProviderList> = Arc::new(DynamicFileCatalog::new(
            Arc::new(MemoryCatalogProviderList::new()),
            Arc::clone(&files) as Arc<dyn UrlTableFactory>,
        ));
        let catalogs: Arc<dyn CatalogProviderList> = Arc::new(NewestCatalogs(found, Arc::clone(&files)));
        let runtime = Arc::new(memory::runtime(settings)?);
        let of_files = Arc::new(Footers::new(runtime.cache_manager.get_file_metadata_cache()));
        let footers = store::footers::Footers::new(Arc::clone(&of_files));
        let mut state = SessionStateBuilder::new()
            .with_config(session_config(settings, &workspace)?.with_extension(of_files))
            .with_runtime_env(runtime)
            .with_catalog_list(Arc::clone(&catalogs))
            .with_default_features()
            .with_analyzer_rules(plan::analyzer_rules())
            .with_optimizer_rules(plan::optimizer_rules())
            .with_physical_optimizer_rules(plan::physical_rules(footers, settings.memory)?)
            .with_relation_planners(vec![
                Arc::new(plan::AtEachTable),
                statement::sample::planner(),
                statement::pivot::planner(),
                Arc::new(ReadFiles(Arc::clone(&files))),
                Arc::new(BehaviourRelations::new(Arc::clone(&catalogs), current_runtime(&files))),
            ])
            .build();
        functions::register_all(&mut state)?;
        state.register_expr_planner(Arc::new(statement::counted::Counted))?;
        state.register_expr_planner(Arc::new(statement::spans::Spans))?;
        let context = SessionContext::new_with_state(state);
        *files.session.write() = Some(context.state_weak_ref());
        let read_only = settings.read_only;
        let engine = Self { context, workspace: Arc::new(workspace), read_only, files: Arc::clone(&files) };
        for (name, entry) in &engine.workspace.tables {
            if let Err(error) = engine.register(name, entry, &folder).await {
                files.broken.write().insert(name.clone(), error.message().to_string());
            }
        }
        for name in offered.into_iter().filter(|name| !engine.workspace.tables.contains_key(name)) {
            let entry = TableEntry { location: name.clone(), ..TableEntry::default() };
            if let Err(error) = engine.register(&name, &entry, &folder).await {
                files.broken.write().insert(name, error.message().to_string());
            }
        }
        for (name, location) in &settings.tables {
            let entry = TableEntry { location: location.clone(), ..TableEntry::default() };
            engine.register(name, &entry, Path::new("")).await?;
        }
        Ok(engine)
    }

    async fn register(&self, name: &str, entry: &TableEntry, base: &Path) -> Result<()> {
        let table = store::table::open(&self.context.state(), name, entry, base).await?;
        self.context.deregister_table(TableReference::bare(name))?;
        self.context.register_table(TableReference::bare(name), table)?;
        Ok(())
    }

    /// What the statements run so far wanted said beside their answers; each sentence is given once.
    pub fn notes(&self) -> Vec<String> {
        Notes::of(self.context.state().config_options()).take()
    }

    /// Whether statements only read, and only what the session was opened with.
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// How the workspace wants its prompt.
    pub fn prompt(&self) -> &PromptEntry {
        &self.workspace.prompt
    }

    /// The names that SET knows, by the alphabet.
    pub fn settings(&self) -> Vec<String> {
        let state = self.context.state();
        // Options of an extension tell their names without its own.
        let ours = TenureOptions::default().entries().into_iter().map(|entry| format!("tenure.{}", entry.key));
        let theirs = state.config_options().entries().into_iter().chain(state.runtime_env().config_entries());
        let theirs = theirs.map(|entry| entry.key).filter(|key| key.starts_with("datafusion."));
        let mut names: Vec<String> = ours.chain(theirs).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The session below, for callers that build plans themselves.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The same, planned until it is asked to stop.
    pub async fn run_until(&self, stop: &Stop, statement: &str, params: &Params) -> Result<Answer> {
        stop.heard_by(self.run(statement, params)).await
    }

    /// Plans exactly one statement and starts it. Where a file that it reads is replaced before it has given a row, it starts over.
    pub async fn run(&self, statement: &str, params: &Params) -> Result<Answer> {
        deep::check(statement)?;
        repeated::run(self, statement, params).await.map_err(|error| error.shown_in(statement))
    }

    /// The same once.
    async fn once(&self, statement: &str, params: &Params) -> Result<Answer> {
        deep::on_large_stack(statement, self.planned_and_started(statement, params)).await
    }

    async fn planned_and_started(&self, statement: &str, params: &Params) -> Result<Answer> {
        let state = self.context.state();
        let created = writes::parse(&state, statement, dialect::of(statement).as_ref())?;
        if let Some((create, query)) = created {
            let query = Parsed::Statement(Box::new(Sql::Query(query)));
            return self.create_table_as(create, &query, params).await;
        }
        let (parsed, wanted) = described::parse(&state, statement)?;
        let plan = self.plan(&state, None, &parsed, params).await?;
        if self.read_only {
            read_only::check(&plan)?;
        }
        match wanted {
            Wanted::Answer => {}
            Wanted::Columns => return self.start(described::columns(&self.context, &plan)?).await,
            Wanted::Summary => return described::summary(&self.context, plan).await,
        }
        if let LogicalPlan::Ddl(DdlStatement::CreateExternalTable(command)) = plan {
            self.create_external_table(*command).await?;
            return self.start(LogicalPlanBuilder::empty(false).build()?).await;
        }
        if let LogicalPlan::Statement(PlanStatement::SetVariable(set)) = &plan {
            options::check_setting(state.config_options(), &set.variable, &set.value)?;
        }
        let repeatable = !matches!(plan, LogicalPlan::Dml(_));
        let sets_zone = matches!(&plan, LogicalPlan::Statement(PlanStatement::SetVariable(set)) if set.variable == options::TIME_ZONE);
        let (plan, pending) = copy::redirect(plan)?;
        let mut answer = self.start(plan).await?;
        answer.repeatable = repeatable;
        if let Some(pending) = pending {
            answer.stream = after(answer.stream, |written| async move { pending.end(written).await });
        }
        if sets_zone {
            options::follow_time_zone(self.context.state_ref().write().config_mut().options_mut())?;
        }
        Ok(answer)
    }

    /// Plans a statement, or the query of a CREATE: with names for the columns within it, and where those are not what it refers to, without.
    async fn plan(
        &self,
        state: &SessionState,
        create: Option<&writes::Create>,
        parsed: &Parsed,
        params: &Params,
    ) -> Result<LogicalPlan> {
        let planned = |mut statement: Parsed| async move {
            params::bind(&mut statement, params)?;
            statement::prepare(&mut statement, state)?;
            match create {
                Some(create) => {
                    newest::in_one_statement(&self.context, writes::plan_create(state, create, statement)).await
                }
                None => newest::in_one_statement(&self.context, writes::plan(state, statement)).await,
            }
        };
        let mut statement = parsed.clone();
        let within = column_names::give(&mut statement, Depth::Everywhere);
        let mut plan = planned(statement).await;
        if within && plan.as_ref().is_err_and(|error| error.kind() == Kind::User) {
            let mut statement = parsed.clone();
            column_names::give(&mut statement, Depth::Outermost);
            plan = planned(statement).await.or(plan);
        }
        plan.map_err(|error| self.name_known(error))
    }

    /// `CREATE TABLE .. STORED AS DELTA .. AS`: the table is there, and known to the session, when the stream ends.
    async fn create_table_as(&self, create: writes::Create, query: &Parsed, params: &Params) -> Result<Answer> {
        if self.context.table_exist(create.name.clone())? {
            if create.if_not_exists {
                return self.start(LogicalPlanBuilder::empty(false).build()?).await;
            }
            return Err(Error::user(format!("table '{}' exists already", create.name))
                .hint(format!("INSERT INTO {} adds rows to it", create.name)));
        }
        let plan = self.plan(&self.context.state(), Some(&create), query, params).await?;
        if self.read_only {
            read_only::check(&plan)?;
        }
        let mut answer = self.start(plan).await?;
        let context = self.context.clone();
        answer.stream = after(answer.stream, |written| async move {
            written?;
            let table = store::table::open_managed(&create.folder).await?;
            context.register_table(create.name, table)?;
            Ok(())
        });
        Ok(answer)
    }

    async fn start(&self, plan: LogicalPlan) -> Result<Answer> {
        let frame = self.context.execute_logical_plan(plan).await?;
        let task = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await?;
        let stream = execute_stream(Arc::clone(&plan), task)?;
        // Not that of the logical plan: analyzer rules give columns other types (a DATE moved by hours is a timestamp), and what is
        // written would be cut to the former.
        let schema = stream.schema();
        Ok(Answer { schema, stream, plan, repeatable: false })
    }

    /// The message of a missing table or function with what is near.
    fn name_known(&self, error: Error) -> Error {
        if error.message().starts_with(NO_FUNCTION)
            && let Some(wanted) = error.word()
        {
            return unknown_function(&self.context.state(), wanted);
        }
        let defaults = self.context.state().config_options().catalog.clone();
        let prefix = format!("table '{}.{}.", defaults.default_catalog, defaults.default_schema);
        let Some(missing) = error.message().strip_prefix(&prefix).and_then(|rest| rest.strip_suffix("' not found"))
        else {
            return error;
        };
        let schema = self.context.catalog(&defaults.default_catalog).and_then(|c| c.schema(&defaults.default_schema));
        let known = schema.map(|s| s.table_names()).unwrap_or_default();
        relations::missing_table("", missing, &known).of_word(missing)
    }

    /// `CREATE EXTERNAL TABLE`: like DataFusion's, with roles in OPTIONS and messages that name the file.
    async fn create_external_table(&self, mut command: CreateExternalTable) -> Result<()> {
        let exists = self.context.table_exist(command.name.clone())?;
        match (exists, command.if_not_exists, command.or_replace) {
            (true, true, _) => return Ok(()),
            (true, false, false) => {
                return Err(Error::user(format!("table '{}' exists already", command.name))
                    .hint("CREATE OR REPLACE EXTERNAL TABLE replaces it"));
            }
            _ => {}
        }
        let mut entry = TableEntry::default();
        let mut options = std::mem::take(&mut command.options);
        for (key, slot) in [
            ("tenure.user", &mut entry.user),
            ("tenure.time", &mut entry.time),
            ("tenure.event", &mut entry.event),
            ("tenure.time_unit", &mut entry.time_unit),
        ] {
            *slot = options.remove(key);
        }
        if let Some(unknown) = options.keys().find(|k| k.starts_with("tenure.")) {
            let known = ["tenure.user", "tenure.time", "tenure.event", "tenure.time_unit"];
            return Err(Error::user(format!(
                "CREATE EXTERNAL TABLE: unknown option '{unknown}'; {}",
                suggest(unknown, known)
            )));
        }
        command.options = options;
        let name = command.name.clone();
        let table = store::table::create(&self.context.state(), &command, &entry).await?;
        self.context.deregister_table(name.clone())?;
        self.context.register_table(name, table)?;
        Ok(())
    }

    /// The registered tables, by name.
    pub async fn tables(&self) -> Result<Vec<TableInfo>> {
        let mut tables = Vec::new();
        let defaults = self.context.state().config_options().catalog.clone();
        for catalog_name in self.context.catalog_names() {
            let Some(catalog) = self.context.catalog(&catalog_name) else { continue };
            for schema_name in catalog.schema_names() {
                let Some(schema) = catalog.schema(&schema_name) else { continue };
                if schema_name == "information_schema" {
                    continue;
                }
                for name in schema.table_names() {
                    let Some(table) = schema.table(&name).await? else { continue };
                    let is_default = catalog_name == defaults.default_catalog && schema_name == defaults.default_schema;
                    let description = self.workspace.tables.get(&name).and_then(|e| e.description.clone());
                    let table_schema = table.schema();
                    let columns = table_schema.fields().iter().map(|f| ColumnInfo {
                        name: f.name().clone(),
                        data_type: sql_type(f.data_type()),
                        role: f.metadata().get(store::table::ROLE_KEY).cloned(),
                    });
                    tables.push(TableInfo {
                        columns: columns.collect(),
                        description: description.filter(|_| is_default),
                        name: if is_default { name } else { format!("{schema_name}.{name}") },
                    });
                }
            }
        }
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tables)
    }
}

/// A name that is no function's, and those that it may be meant for.
fn unknown_function(state: &SessionState, wanted: &str) -> Error {
    let mut known: Vec<&str> = state.scalar_functions().keys().map(String::as_str).collect();
    known.extend(state.aggregate_functions().keys().map(String::as_str));
    known.extend(state.window_functions().keys().map(String::as_str));
    let message = format!("{NO_FUNCTION}'{wanted}'");
    let error = match nearest(wanted, known).as_slice() {
        [] => Error::user(format!("{message}; \\df lists the functions")),
        [first, ..] => Error::user(format!("{message}; did you mean '{first}'?")),
    };
    error.of_word(wanted)
}

/// The runtime of the session that these files belong to: `SET datafusion.runtime..` puts another in its place.
fn current_runtime(files: &Arc<LocalFiles>) -> relations::Runtime {
    let files = Arc::downgrade(files);
    Arc::new(move || {
        let session = files.upgrade()?.session.read().as_ref()?.upgrade()?;
        let runtime = Arc::clone(session.read().runtime_env());
        Some(runtime)
    })
}

/// Under limits up to this many bytes batches have half the rows: every operator holds some that no reservation knows of.
const SMALL_LIMIT: usize = 128 << 20;

fn session_config(settings: &Settings, workspace: &Workspace) -> Result<SessionConfig> {
    let mut config =
        SessionConfig::new().with_option_extension(TenureOptions::default()).with_option_extension(Notes::default());
    files::defaults(config.options_mut());
    if let Some(threads) = settings.threads {
        config = config.with_target_partitions(threads.max(1));
    }
    if let Some(bytes) = settings.memory {
        // Each partition of each sort sets this much aside before its first row; the default of 10 MB would refuse to sort a
        // result of ten rows under a small limit.
        let aside = (bytes / 64).clamp(64 << 10, config.options().execution.sort_spill_reservation_bytes);
        config.options_mut().execution.sort_spill_reservation_bytes = aside;
        if bytes <= SMALL_LIMIT {
            let rows = config.batch_size() / 2;
            config = config.with_batch_size(rows);
        }
    }
    for (key, value) in &workspace.options {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_string);
        config.options_mut().set(key, &value).map_err(|e| Error::from(e).at(WORKSPACE_FILE))?;
        options::check(config.options()).map_err(|e| e.at(WORKSPACE_FILE))?;
    }
    for (key, value) in &settings.options {
        config.options_mut().set(key, value)?;
        options::check(config.options())?;
    }
    options::follow_time_zone(config.options_mut())?;
    Ok(config)
}

/// A stream of few rows, with something to do when it has ended, well or not; what that answers counts.
fn after<F: Future<Output = Result<()>> + Send + 'static>(
    stream: SendableRecordBatchStream,
    done: impl FnOnce(Result<()>) -> F + Send + 'static,
) -> SendableRecordBatchStream {
    let schema = stream.schema();
    let collected = async move {
        let (batches, ended) = match stream.try_collect::<Vec<RecordBatch>>().await {
            Ok(batches) => (batches, Ok(())),
            Err(error) => (Vec::new(), Err(Error::from(error))),
        };
        done(ended).await?;
        Ok::<_, DataFusionError>(futures::stream::iter(batches.into_iter().map(Ok::<_, DataFusionError>)))
    };
    Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::once(collected).try_flatten()))
}

impl Answer {
    /// Whether the rows come in an order that the plan knows of.
    pub fn is_ordered(&self) -> bool {
        self.plan.properties().output_ordering().is_some()
    }

    /// Tells how far the query is while its stream is being read.
    pub fn meter(&self) -> ProgressMeter {
        ProgressMeter(Arc::clone(&self.plan))
    }
}

impl ProgressMeter {
    /// Rows read so far and in all, from the scans' own counters and statistics.
    pub fn now(&self) -> Progress {
        let mut progress = Progress { rows_read: 0, rows_total: Some(0) };
        add_scans(&self.0, &mut progress);
        progress
    }
}

fn add_scans(plan: &Arc<dyn ExecutionPlan>, progress: &mut Progress) {
    if plan.children().is_empty() {
        progress.rows_read += plan.metrics().and_then(|m| m.output_rows()).unwrap_or(0) as u64;
        let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
        let total = statistics.ok().and_then(|s| s.num_rows.get_value().copied());
        progress.rows_total = progress.rows_total.zip(total).map(|(sum, rows)| sum + rows as u64);
    }
    for child in plan.children() {
        add_scans(child, progress);
    }
}

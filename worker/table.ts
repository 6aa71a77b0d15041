/**
 * Makes a table of the object's SQLite where there is none. SQLite counts `CREATE TABLE IF NOT EXISTS` as a write even
 * where the table is there (sqlite3_stmt_readonly), and whatever an object sends after a write waits for the disk: at
 * each wake.
 */
export function ensureTable(sql: SqlStorage, name: string, columns: string): void {
  const found = sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", name).toArray()
  if (found.length === 0) sql.exec(`CREATE TABLE ${name} ${columns}`)
}

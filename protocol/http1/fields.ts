import { FrpError } from '../../contract/errors.ts'
import { isLineText, isSameText, isToken, showText } from './text.ts'

/**
 * The fields of a head in their order and spelling. Values are latin-1 strings without outer white space;
 * names are compared without case. What is put in is checked, so that nothing can break a line: CONFIG_FIELD,
 * because it is a configuration that has such texts.
 */
export class Fields {
  private readonly nameList: string[] = []
  private readonly valueList: string[] = []

  /** Fields from pairs of name and value. */
  static of(...pairs: readonly (readonly [name: string, value: string])[]): Fields {
    const fields = new Fields()
    for (const [name, value] of pairs) fields.append(name, value)
    return fields
  }

  /** For loops; same index, same field. */
  get names(): readonly string[] {
    return this.nameList
  }

  get values(): readonly string[] {
    return this.valueList
  }

  get size(): number {
    return this.names.length
  }

  /** The first value of a field. */
  get(name: string): string | undefined {
    const index = this.indexOf(name, 0)
    return index < 0 ? undefined : this.values[index]
  }

  /** All values of a field, in order. */
  getAll(name: string): string[] {
    const found: string[] = []
    for (let i = this.indexOf(name, 0); i >= 0; i = this.indexOf(name, i + 1)) found.push(this.values[i] as string)
    return found
  }

  has(name: string): boolean {
    return this.indexOf(name, 0) >= 0
  }

  /** Gives a field one value: at the place and in the spelling of the first of that name, else at the end. */
  set(name: string, value: string): void {
    const index = this.indexOf(name, 0)
    if (index < 0) {
      this.append(name, value)
      return
    }
    check(name, value)
    this.valueList[index] = value
    if (this.indexOf(name, index + 1) >= 0) {
      let seen = 0
      this.removeWhere((other) => isSameText(other, name.toLowerCase()) && seen++ > 0)
    }
  }

  append(name: string, value: string): void {
    check(name, value)
    this.appendChecked(name, value)
  }

  /** For texts that a parser has checked. */
  appendChecked(name: string, value: string): void {
    this.nameList.push(name)
    this.valueList.push(value)
  }

  /** Puts a field in front of all others. */
  prepend(name: string, value: string): void {
    check(name, value)
    this.nameList.unshift(name)
    this.valueList.unshift(value)
  }

  delete(name: string): void {
    const lower = name.toLowerCase()
    this.removeWhere((other) => isSameText(other, lower))
  }

  /** Removes each field for which `isGone` says so; the others keep their order. */
  removeWhere(isGone: (name: string, value: string) => boolean): void {
    let kept = 0
    for (let i = 0; i < this.names.length; i++) {
      const name = this.names[i] as string
      const value = this.values[i] as string
      if (isGone(name, value)) continue
      this.nameList[kept] = name
      this.valueList[kept] = value
      kept += 1
    }
    this.nameList.length = kept
    this.valueList.length = kept
  }

  *[Symbol.iterator](): IterableIterator<[name: string, value: string]> {
    for (let i = 0; i < this.names.length; i++) yield [this.names[i] as string, this.values[i] as string]
  }

  private indexOf(name: string, from: number): number {
    const lower = name.toLowerCase()
    for (let i = from; i < this.names.length; i++) {
      if (isSameText(this.names[i] as string, lower)) return i
    }
    return -1
  }
}

function check(name: string, value: string): void {
  if (!isToken(name)) throw new FrpError('CONFIG_FIELD', `HTTP field name ${showText(name)} is no token`)
  if (!isLineText(value)) {
    // The value may be a secret.
    throw new FrpError('CONFIG_FIELD', `HTTP field '${name}': its value has a control or is not latin-1`)
  }
}

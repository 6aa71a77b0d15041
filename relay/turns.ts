/** Members that are served in turn: round robin that goes on when one comes or leaves. */
export class Turns<Member> {
  private readonly members: Member[] = []
  private turn = 0

  get size(): number {
    return this.members.length
  }

  add(member: Member): void {
    this.members.push(member)
  }

  /** Whether it was there. */
  remove(member: Member): boolean {
    const index = this.members.indexOf(member)
    if (index < 0) return false
    this.members.splice(index, 1)
    // Whoever was next is still next.
    if (index < this.turn) this.turn -= 1
    return true
  }

  /** Undefined: there is no member. */
  next(): Member | undefined {
    if (this.turn >= this.members.length) this.turn = 0
    const member = this.members[this.turn]
    this.turn += 1
    return member
  }

  [Symbol.iterator](): IterableIterator<Member> {
    return this.members.values()
  }
}

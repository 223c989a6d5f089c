package turn

import "container/list"

// A queue is the attempts that wait, by network. It isn't safe for concurrent use.
type queue struct {
	waiting map[string]*list.List // of chan struct{}, closed when it is the waiter's turn; by network, never empty
	order   list.List             // the waiting networks, the next one first
}

func newQueue() queue { return queue{waiting: map[string]*list.List{}} }

// A waiter is an attempt that waits for its turn.
type waiter struct {
	network string
	turn    chan struct{} // closed when it comes
	place   *list.Element
}

// join gets in line behind the others of the network.
func (q *queue) join(network string) *waiter {
	line := q.waiting[network]
	if line == nil {
		line = list.New()
		q.waiting[network] = line
		q.order.PushBack(network)
	}
	turn := make(chan struct{})
	return &waiter{network, turn, line.PushBack(turn)}
}

// leave gets out of line; false if the turn has come.
func (q *queue) leave(w *waiter) bool {
	select {
	case <-w.turn:
		return false
	default:
	}
	line := q.waiting[w.network]
	line.Remove(w.place)
	if line.Len() > 0 {
		return true
	}
	delete(q.waiting, w.network)
	for e := q.order.Front(); e != nil; e = e.Next() {
		if e.Value == w.network {
			q.order.Remove(e)
			break
		}
	}
	return true
}

// next gives a turn to the attempt that has waited longest in the first network that may have one. It returns the network, and
// false if there is none.
func (q *queue) next(may func(network string) bool) (string, bool) {
	for e := q.order.Front(); e != nil; e = e.Next() {
		network := e.Value.(string)
		if !may(network) {
			continue
		}
		line := q.waiting[network]
		close(line.Remove(line.Front()).(chan struct{}))
		if line.Len() > 0 {
			q.order.MoveToBack(e)
			return network, true
		}
		q.order.Remove(e)
		delete(q.waiting, network)
		return network, true
	}
	return "", false
}

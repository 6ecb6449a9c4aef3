from greenadapt.pages.labels import _box, place


def overlap(one, other):
    return min(one[2], other[2]) > max(one[0], other[0]) and min(one[3], other[3]) > max(one[1], other[1])


def test_names_of_close_points_do_not_cover_each_other():
    points = [(200.0, 100.0, "blockdrop"), (215.0, 104.0, "biglittle"), (208.0, 96.0, "resnet14")]
    boxes = [_box(label, name) for label, (_, _, name) in zip(place(points, 600, 300), points, strict=True)]
    assert not any(overlap(one, other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_a_name_at_the_edge_stays_inside():
    points = [(598.0, 4.0, "a-network-with-a-long-name")]
    left, top, right, bottom = _box(place(points, 600, 300)[0], points[0][2])
    assert (left >= 0, top >= 0, right <= 600, bottom <= 300) == (True,) * 4


def test_a_name_alone_stands_to_the_right():
    assert place([(100.0, 100.0, "one")], 600, 300)[0].align == "left"

import time, tempfile, numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images
from kerasae.datasets import load
from kerasae.datasets.files.images import shape_of, image_files
from pathlib import Path
im=np.tile(load_sample_images().images[0],(4,4,1))
d=tempfile.mkdtemp()
for i in range(24): Image.fromarray(im).save(f"{d}/{i}.jpg",quality=90)
t=time.time(); c=time.process_time(); x=load(d,image_shape=(128,192)); print(im.shape, x.x.shape, "wall",time.time()-t,"cpu s an image",(time.process_time()-c)/24)
